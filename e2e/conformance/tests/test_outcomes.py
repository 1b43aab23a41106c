"""Outcomes are those of `go test -json`, and a failure cannot hide."""

import json
import unittest

from conformance import outcomes, table

EVENTS = [
    {"Action": "run", "Test": "TestConformance"},
    {"Action": "run", "Test": "TestConformance/A"},
    {"Action": "run", "Test": "TestConformance/A/part"},
    {"Action": "output", "Test": "TestConformance/A/part", "Output": "it broke\n"},
    {"Action": "fail", "Test": "TestConformance/A/part", "Elapsed": 1.0},
    {"Action": "fail", "Test": "TestConformance/A", "Elapsed": 1.5},
    {"Action": "run", "Test": "TestConformance/B"},
    {"Action": "pass", "Test": "TestConformance/B", "Elapsed": 2.0},
    {"Action": "run", "Test": "TestConformance/C"},
    {"Action": "skip", "Test": "TestConformance/M", "Elapsed": 0.0},
    {"Action": "run", "Test": "TestOwn/O"},
    {"Action": "output", "Test": "TestOwn/O/part", "Output": "it broke too\n"},
    {"Action": "fail", "Test": "TestOwn/O", "Elapsed": 3.0},
    {"Action": "run", "Test": "TestOther/X"},
]
LINES = [*map(json.dumps, EVENTS), "not JSON"]


def test_of(name, features=("Gateway",), provisional=False, own=False):
    return {"name": name, "features": list(features), "profiles": ["GATEWAY-HTTP", "MESH-HTTP"],
            "provisional": provisional, "own": own, "description": f"what {name} shows"}


class Outcomes(unittest.TestCase):
    def test_parts_are_not_tests_and_what_did_not_end_is_unfinished(self):
        results = {name: outcome.result for name, outcome in outcomes.read(LINES).items()}
        self.assertEqual(results, {"A": "fail", "B": "pass", "C": "unfinished", "M": "skip", "O": "fail"})

    def test_a_tests_output_is_that_of_its_parts(self):
        self.assertEqual(outcomes.output_of(LINES, "A"), ["it broke"])
        self.assertEqual(outcomes.output_of(LINES, "O"), ["it broke too"])

    def test_the_page_counts_what_was_not_run_and_leaves_the_mesh_out(self):
        tests = [test_of("A"), test_of("B", provisional=True), test_of("M", ("Mesh",)), test_of("Z")]
        page = table.page(tests, outcomes.read(LINES), "v1", "v1.36")
        self.assertIn("**1 pass, 1 fail, 1 not run**", page)
        self.assertIn("| B (provisional) | GATEWAY-HTTP | pass | 2.0 |", page)
        self.assertNotIn("| M |", page)
        self.assertNotIn("own", page)

    def test_our_own_tests_stand_apart_and_count_apart(self):
        tests = [test_of("B"), test_of("O", ("Gateway", "Retried"), own=True)]
        suites, ours = table.page(tests, outcomes.read(LINES), "v1", "v1.36").split("## Tests of our own")
        self.assertIn("**1 pass**", suites)
        self.assertNotIn("| O |", suites)
        self.assertIn("**1 fail**", ours)
        self.assertIn("Features that they alone test: Retried.", ours)
        self.assertIn("| O | what O shows | fail | 3.0 |", ours)


if __name__ == "__main__":
    unittest.main()
