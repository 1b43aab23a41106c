"""h2spec's report is read as it is written."""

import unittest

from strict.outcome import Case, Outcome
from strict.junit import parse

REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="3.1. DATA" package="generic/3.1" id="3.1" tests="3" skipped="1" failures="1" errors="0">
    <testcase package="generic/3.1" classname="Sends a DATA frame" time="0.0028"></testcase>
    <testcase package="generic/3.1" classname="Sends more" time="0.0009"><failure>Expect: this
Actual: that</failure></testcase>
    <testcase package="generic/3.1" classname="Sends none" time="0.0009"><skipped></skipped></testcase>
  </testsuite>
</testsuites>"""


class Report(unittest.TestCase):
    def test_cases_are_named_by_section_and_text(self):
        self.assertEqual(parse(REPORT), [
            Case("generic/3.1: Sends a DATA frame", Outcome.PASSED),
            Case("generic/3.1: Sends more", Outcome.FAILED, "Expect: this Actual: that"),
            Case("generic/3.1: Sends none", Outcome.SKIPPED),
        ])


if __name__ == "__main__":
    unittest.main()
