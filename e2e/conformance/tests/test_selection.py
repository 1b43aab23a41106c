"""A name runs the test that has it, wherever that belongs, and nothing else."""

import unittest

from minicluster.run import Failure

from conformance import selection


def one(name, own=False):
    return {"name": name, "own": own}


class Selection(unittest.TestCase):
    def test_all_is_the_suite_and_then_our_own_on_its_base(self):
        words = ["-test.run=^(TestConformance|TestOwn)$", "-cleanup-base-resources=false"]
        self.assertEqual(selection.words(None, []), words)

    def test_one_test_runs_where_it_belongs(self):
        tests = [one("A"), one("O", own=True)]
        self.assertEqual(selection.words("A", tests), ["-test.run=^TestConformance$", "-run-test=A"])
        self.assertEqual(selection.words("O", tests), ["-test.run=^TestOwn$", "-run-test=O"])

    def test_a_name_that_no_test_has_is_refused(self):
        with self.assertRaises(Failure):
            selection.words("Z", [one("A")])


if __name__ == "__main__":
    unittest.main()
