"""Figures come from rounds, bars from figures, and all of them can be printed, drawn and written."""

import dataclasses
import json
import unittest
import xml.etree.ElementTree as xml

from peerbench import figures, plot, report
from peerbench.figures import Verdict
from peerbench.loads import Load, Tool
from peerbench.measure import RowResult, Sample
from peerbench.rows import ROWS, Row
from peerbench.rules import Scenario


def sample(cpu_us: float, failures: int = 0) -> Sample:
    return Sample(1000, failures, 500.0, cpu_us, cpu_us / 2, cpu_us / 2, 1.0, 2.0, 10.0, 0.9)


def result(samples: dict, key: str = "h1", **fields) -> RowResult:
    return RowResult(Row(key, "A row & its title", Load(Tool.WRK, 1), **fields), samples)


class Figures(unittest.TestCase):
    def test_a_slow_round_changes_no_ratio(self):
        made = result({"portolan": [sample(9), sample(90), sample(9)], "nginx": [sample(10), sample(100), sample(10)]})
        self.assertAlmostEqual(figures.ratio(made, "portolan", "nginx"), 0.9)

    def test_rounds_that_lack_one_of_both_do_not_count(self):
        made = result({"portolan": [None, sample(20)], "nginx": [sample(1), sample(10)]})
        self.assertAlmostEqual(figures.ratio(made, "portolan", "nginx"), 2.0)
        self.assertIsNone(figures.ratio(made, "portolan", "envoy"))

    def test_what_a_filter_adds_is_the_median_of_differences(self):
        made = result({"envoy": [sample(40), sample(50)], "envoy+wasm": [sample(47), sample(58)]})
        self.assertAlmostEqual(figures.added(made, "envoy+wasm", "envoy"), 7.5)

    def test_filters_are_compared_by_what_they_add(self):
        made = result({
            "portolan": [sample(10), sample(20), None], "portolan+wasm": [sample(12), sample(22), sample(99)],
            "envoy": [sample(40), sample(80), sample(40)], "envoy+wasm": [sample(48), sample(88), sample(48)],
            "nginx": [sample(10)], "nginx+wasm": [sample(10)],
        })
        self.assertAlmostEqual(figures.added_ratio(made, "portolan", "envoy"), 0.25)
        self.assertIsNone(figures.added_ratio(made, "portolan", "haproxy"))
        self.assertIsNone(figures.added_ratio(made, "portolan", "nginx"), "nothing is no measure")


class Bars(unittest.TestCase):
    def verdict(self, portolan: Sample, nginx: Sample) -> dict[str, bool | None]:
        found = figures.verdicts({"h1": result({"portolan": [portolan], "nginx": [nginx]})})
        return {verdict.what: verdict.held for verdict in found}

    def test_a_bar_holds_up_to_its_limit_and_not_beyond(self):
        name = "h1: portolan ÷ nginx"
        self.assertIs(self.verdict(sample(10.5), sample(10.0))[name], True)
        self.assertIs(self.verdict(sample(10.6), sample(10.0))[name], False)

    def test_what_was_not_measured_neither_holds_nor_fails(self):
        self.assertIsNone(self.verdict(sample(1), sample(1))["h1: portolan ÷ envoy"])

    def test_one_failed_request_fails_its_bar(self):
        self.assertIs(self.verdict(sample(1, failures=1), sample(1))["h1: failed requests of portolan"], False)

    def test_every_bar_names_a_row_and_contenders_that_exist(self):
        rows = {row.key: row for row in ROWS}
        for bar in figures.BARS:
            names = {one.name for one in rows[bar.row].contenders(["nginx", "haproxy", "envoy", "portolan"])}
            read = {bar.of, bar.to}
            if bar.measure is figures.Measure.ADDED:
                read |= {name + figures.FILTERED for name in read}
            self.assertLessEqual(read, names)

    def test_only_strict_runs_fail(self):
        missed = [Verdict.of("x", 2.0, 1.0)]
        self.assertEqual([figures.exit_code(missed, strict) for strict in (False, True)], [0, 1])


class Output(unittest.TestCase):
    def setUp(self):
        samples = {"portolan": [sample(9.25), None], "portolan+wasm": [sample(11.0), None], "envoy": [None, None]}
        self.made = result(samples, scenarios=(Scenario.SERVE, Scenario.FILTER))
        self.made.errors["envoy"] = "it did not start"

    def test_the_table_shows_figures_and_says_what_is_missing(self):
        text = report.row(self.made)
        self.assertIn("9.25", text)
        self.assertIn("envoy was not measured: it did not start", text)
        self.assertIn("portolan+wasm over portolan: 1.75 µs more", text)

    def test_everything_can_be_written_as_json(self):
        found = figures.verdicts({"h1": self.made})
        read = json.loads(json.dumps(report.as_json({}, [self.made], found)))
        self.assertEqual(read["rows"]["h1"]["samples"]["portolan"][0], dataclasses.asdict(sample(9.25)))
        self.assertEqual(read["rows"]["h1"]["medians"]["portolan"]["cpu_us"], 9.25)

    def test_the_plot_is_well_formed_and_draws_what_was_measured(self):
        root = xml.fromstring(plot.svg([self.made, self.made], "a < b"))
        rectangles = root.iter("{http://www.w3.org/2000/svg}rect")
        self.assertEqual(sum(one.get("fill") == plot.COLOURS["portolan"] for one in rectangles), 4)


if __name__ == "__main__":
    unittest.main()
