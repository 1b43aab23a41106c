"""The page is what the run found."""

import tempfile
import unittest
from pathlib import Path

from strict import report
from strict.outcome import Case, Expectation, Judgement, Outcome, SuiteResult

KNOWN = Expectation("suite", "bad", "A reason.")
CASES = [Case("good", Outcome.PASSED), Case("bad", Outcome.FAILED), Case("not there", Outcome.SKIPPED)]
JUDGEMENT = Judgement(SuiteResult("suite", "Suite", "tool 1", CASES), [KNOWN])
NOT_SERVED = Judgement(SuiteResult("other", "Other", "tool 2", [], not_served=True))


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.page = Path(folder.name, "page.md")
        self.page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")

    def test_cases_that_are_not_offered_are_not_counted_as_passed(self):
        self.assertEqual(report.row(JUDGEMENT), "| Suite | tool 1 | 1 of 2 | 1 | 1 |")

    def test_what_is_not_served_is_said_so(self):
        self.assertIn("**not served**", report.row(NOT_SERVED))

    def test_a_written_page_is_not_stale_and_keeps_what_is_around(self):
        report.write(self.page, [JUDGEMENT, NOT_SERVED])
        text = self.page.read_text()
        self.assertEqual(report.stale_lines(text, [JUDGEMENT, NOT_SERVED]), [])
        self.assertTrue(text.startswith("before\n") and text.endswith("after\n") and "old" not in text)
        self.assertIn("- Suite: `bad`. A reason.", text)

    def test_some_of_the_suites_can_be_compared_with_the_page(self):
        report.write(self.page, [JUDGEMENT, NOT_SERVED])
        self.assertEqual(report.stale_lines(self.page.read_text(), [NOT_SERVED]), [])

    def test_another_result_makes_the_page_stale(self):
        report.write(self.page, [JUDGEMENT])
        changed = Judgement(SuiteResult("suite", "Suite", "tool 1", CASES[:1]))
        self.assertEqual(report.stale_lines(self.page.read_text(), [changed]), ["| Suite | tool 1 | 1 of 1 |  |  |"])


if __name__ == "__main__":
    unittest.main()
