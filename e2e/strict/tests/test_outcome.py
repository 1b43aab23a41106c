"""Only what is expected, and all of it, counts as expected."""

import unittest

from strict.outcome import Case, Expectation, Outcome, SuiteResult, judge, read_expectations
from strict.places import EXPECTED

PASSED, FAILED = Case("good", Outcome.PASSED), Case("bad", Outcome.FAILED, "so and so")
KNOWN = Expectation("suite", "bad", "a reason")


def result(*cases: Case, not_served: bool = False) -> SuiteResult:
    return SuiteResult("suite", "Suite", "1", list(cases), not_served)


class Judge(unittest.TestCase):
    def test_a_failure_that_nobody_expects_is_a_surprise(self):
        self.assertEqual(judge(result(PASSED, FAILED), []).surprises, ["bad: so and so"])

    def test_an_expected_failure_is_known(self):
        judgement = judge(result(PASSED, FAILED), [KNOWN])
        self.assertEqual((judgement.known, judgement.surprises), ([KNOWN], []))

    def test_an_expectation_of_another_suite_does_not_count(self):
        other = Expectation("other", "bad", "a reason")
        self.assertEqual(judge(result(FAILED), [other]).surprises, ["bad: so and so"])

    def test_an_expected_failure_that_passes_is_a_surprise(self):
        surprises = judge(result(Case("bad", Outcome.PASSED)), [KNOWN]).surprises
        self.assertEqual(surprises, ["bad: passed, but expected to fail"])

    def test_a_case_that_fails_sometimes_counts_alike_however_it_ends(self):
        lucky = Expectation("suite", "bad", "a race", sometimes=True)
        for outcome in (Outcome.PASSED, Outcome.FAILED):
            judgement = judge(result(PASSED, Case("bad", outcome)), [lucky])
            self.assertEqual((judgement.known, judgement.surprises, judgement.passed()), ([lucky], [], 1))

    def test_an_expectation_whose_case_is_gone_is_a_surprise(self):
        self.assertEqual(judge(result(PASSED), [KNOWN]).surprises, ["bad: expected to fail, but no such case ran"])

    def test_a_case_that_fails_twice_is_known_once(self):
        self.assertEqual(len(judge(result(FAILED, FAILED), [KNOWN]).surprises), 1)

    def test_a_suite_that_ran_nothing_is_a_surprise(self):
        self.assertEqual(judge(result(), []).surprises, ["no case ran"])

    def test_a_protocol_that_is_not_served_is_none(self):
        self.assertEqual(judge(result(not_served=True), [KNOWN]).surprises, [])


class Expectations(unittest.TestCase):
    def test_each_has_a_reason_and_is_written_once(self):
        found = read_expectations(EXPECTED)
        self.assertTrue(all(one.why.strip() for one in found))
        self.assertEqual(len({(one.suite, one.case) for one in found}), len(found))


if __name__ == "__main__":
    unittest.main()
