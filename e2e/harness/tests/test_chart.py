"""The chart renders what watches Portolan, and that names nothing which Portolan does not export."""

import json
import os
import re
import sys
import unittest

from harness.install import CHARTS
from minicluster import programs
from minicluster.run import Failure, run
from tests import exported, promql

CHART = CHARTS / "portolan"
WATCHED = ("podMonitors", "rules", "dashboard")
ALL = [f"monitoring.{part}.enabled=true" for part in WATCHED]
# What a scrape adds to every series, besides what the PodMonitor does, and what a histogram and an alert have.
GIVEN = {"instance", "namespace", "pod", "le", "alertname", "alertstate", "severity"}
# Applications of others have these metrics too: ours are told by a label of ours.
CONVENTIONAL = ("http_server_", "http_client_")
SEVERITIES = {"critical", "warning"}


def said(text: str) -> None:
    print(text, file=sys.stderr)


def render(*sets: str) -> list[dict]:
    """The objects of the chart with these values."""
    options = [word for one in sets for word in ("--set", one)]
    text = run(Chart.programs / "helm", "template", "portolan", CHART, "--namespace", "portolan-system", *options)
    # kubectl reads YAML as the cluster does, and asks no cluster.
    command = (Chart.programs / "kubectl", "annotate", "--local", "--filename", "-", "--output", "json", "none-")
    text = run(*command, input=text, env={**os.environ, "KUBECONFIG": os.devnull})
    objects = []
    while text := text.lstrip():
        one, end = json.JSONDecoder().raw_decode(text)
        objects.append(one)
        text = text[end:]
    return objects


def of(objects: list[dict], kind: str, name: str = "portolan") -> dict:
    """The one object of a kind and name."""
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects {kind} {name}")
    return found[0]


class Chart(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        Chart.programs = programs.build(said)
        cls.objects = render(*ALL)

    def dashboard(self) -> dict:
        return json.loads(of(self.objects, "ConfigMap", "portolan-dashboard")["data"]["portolan.json"])

    def alerts(self) -> list[dict]:
        return [rule for group in of(self.objects, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]

    def expressions(self) -> dict[str, str]:
        """Every expression of the dashboard and of the alerts, by where it stands."""
        found = {rule["alert"]: rule["expr"] for rule in self.alerts()}
        for panel in self.dashboard()["panels"]:
            for target in panel.get("targets", []):
                found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
        for variable in self.dashboard()["templating"]["list"]:
            if variable["type"] == "query":
                series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
                found[f"variable {variable['name']}"] = f"count by ({label}) ({series})"
        return found

    def given(self) -> set[str]:
        """Labels that come with the scrape."""
        [endpoint] = of(self.objects, "PodMonitor", "portolan-gateways")["spec"]["podMetricsEndpoints"]
        return GIVEN | {relabeling["targetLabel"] for relabeling in endpoint["relabelings"]}

    def test_by_default_nothing_of_it_is_made(self):
        kinds = {one["kind"] for one in render()}
        self.assertIn("Deployment", kinds)
        self.assertFalse(kinds & {"PodMonitor", "PrometheusRule", "ConfigMap"})

    def test_each_part_is_made_alone(self):
        kinds = {one: {made["kind"] for made in render(f"monitoring.{one}.enabled=true")} for one in WATCHED}
        watching = {"PodMonitor", "PrometheusRule", "ConfigMap"}
        made = {one: all_of & watching for one, all_of in kinds.items()}
        self.assertEqual(made, {"podMonitors": {"PodMonitor"}, "rules": {"PrometheusRule"}, "dashboard": {"ConfigMap"}})

    def test_wrong_values_are_refused_and_named(self):
        wrong = {
            "monitoring.dashboard.enabled=perhaps": "/monitoring/dashboard/enabled",
            "monitoring.dashboards.enabled=true": "dashboards",
            "monitoring.podMonitors.interval=often": "/monitoring/podMonitors/interval",
            "monitoring.rules.labels.release=1": "/monitoring/rules/labels/release",
            "monitoring.rules.enabled=true,monitoring.rules.disabled={PortolanIsDown}": "no alert PortolanIsDown",
            "gatewayClass.config.replica=3": "replica",
            "gatewayClass.config.logLevel=loud": "/gatewayClass/config/logLevel",
            "imagePullSecrets[0]=registry": "/imagePullSecrets/0",
        }
        for value, told in wrong.items():
            with self.subTest(value), self.assertRaisesRegex(Failure, re.escape(told)):
                render(value)

    def test_the_class_is_run_as_its_values_say(self):
        objects = render("gatewayClass.config.replicas=3", "gatewayClass.config.service.type=NodePort")
        self.assertEqual(of(objects, "GatewayConfig")["spec"], {"replicas": 3, "service": {"type": "NodePort"}})
        self.assertEqual(of(objects, "GatewayClass")["spec"]["parametersRef"]["name"], "portolan")

    def test_pull_secrets_are_the_controllers_and_the_gateways(self):
        pod = of(render("imagePullSecrets[0].name=registry"), "Deployment")["spec"]["template"]["spec"]
        self.assertEqual(pod["imagePullSecrets"], [{"name": "registry"}])
        self.assertIn("--gateway-image-pull-secret=registry", pod["containers"][0]["args"])

    def test_an_alert_can_be_left_out(self):
        names = [rule["alert"] for rule in self.alerts()]
        some = render(*ALL, f"monitoring.rules.disabled={{{names[0]}}}")
        left = [rule["alert"] for group in of(some, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
        self.assertEqual(left, names[1:])

    def test_labels_reach_the_objects(self):
        some = render(*ALL, "monitoring.podMonitors.labels.release=prometheus", "monitoring.podMonitors.interval=15s",
                      "monitoring.dashboard.labels.team=edge", "monitoring.dashboard.namespace=grafana")
        monitor = of(some, "PodMonitor")
        self.assertEqual(monitor["metadata"]["labels"]["release"], "prometheus")
        self.assertEqual(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "15s")
        metadata = of(some, "ConfigMap", "portolan-dashboard")["metadata"]
        self.assertEqual(metadata["namespace"], "grafana")
        self.assertEqual({key: metadata["labels"].get(key) for key in ("team", "grafana_dashboard")},
                         {"team": "edge", "grafana_dashboard": "1"})

    def test_pod_monitors_find_the_pods_and_their_port(self):
        controller = of(self.objects, "Deployment")["spec"]["template"]
        ports = {port["name"] for one in controller["spec"]["containers"] for port in one["ports"]}
        monitor = of(self.objects, "PodMonitor")["spec"]
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(), controller["metadata"]["labels"].items())
        self.assertIn(monitor["podMetricsEndpoints"][0]["port"], ports)

        source = exported.ROOT / "controller/src/infrastructure"
        names, manifests = (source / "names.rs").read_text(), (source / "manifests.rs").read_text()
        monitor = of(self.objects, "PodMonitor", "portolan-gateways")["spec"]
        for key, value in monitor["selector"]["matchLabels"].items():
            self.assertIn(f'("{key}", "{value}")', names)
        [endpoint] = monitor["podMetricsEndpoints"]
        self.assertIn(f'"ports": [{{ "name": "{endpoint["port"]}"', manifests)
        label = re.search(r'GATEWAY_LABEL: &str = "(.*)"', names)[1]
        self.assertEqual(endpoint["relabelings"][0]["sourceLabels"],
                         [f"__meta_kubernetes_pod_label_{exported.spelt(label)}"])

    def test_every_definition_of_a_metric_is_read(self):
        names = exported.metrics()
        bases = {re.sub("_(bucket|sum|count)$", "", name) if kind == "Histogram" else name
                 for name, kind in names.items()}
        self.assertEqual(len(bases), exported.defined())
        self.assertIn("http_server_request_duration_seconds_bucket", names)
        self.assertIn("portolan_l4_io_bytes_total", names)
        self.assertIn("portolan_connections_active", names)
        for label in ("error_type", "reason", "portolan_outcome", "portolan_limit"):
            self.assertGreater(len(exported.values(label)), 4, label)

    def test_every_metric_exists(self):
        known = exported.metrics().keys() | {"ALERTS"}
        unknown = {place: sorted(names - known) for place, expression in self.expressions().items()
                   if (names := {one.metric for one in promql.named(expression).selectors}) - known}
        self.assertEqual(unknown, {})

    def test_every_label_exists(self):
        known = exported.labels() | self.given()
        unknown = {place: sorted(labels - known) for place, expression in self.expressions().items()
                   if (labels := promql.named(expression).labels()) - known}
        self.assertEqual(unknown, {})

    def test_every_legend_and_text_names_labels_that_its_expression_keeps(self):
        for panel in self.dashboard()["panels"]:
            for target in panel.get("targets", []):
                used = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
                self.assertLessEqual(used, promql.named(target["expr"]).grouped_by, panel["title"])
        for rule in self.alerts():
            used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
            self.assertLessEqual(used, promql.named(rule["expr"]).grouped_by, rule["alert"])

    def test_every_value_that_is_matched_is_one_that_the_code_has(self):
        for place, expression in self.expressions().items():
            for selector in promql.named(expression).selectors:
                for label, _, pattern in selector.matchers:
                    values = exported.values(label)
                    # error_type is a status too; a variable or nothing matches anything.
                    if values is None or pattern in ("", "5..") or pattern.startswith("$"):
                        continue
                    for part in pattern.split("|"):
                        some = any(re.fullmatch(part, value) for value in values)
                        self.assertTrue(some, f"{place}: no {label} matches {part}")

    def test_counters_are_read_as_rates_and_histograms_as_quantiles(self):
        kinds = exported.metrics()
        for place, expression in self.expressions().items():
            if place.startswith("variable"):
                continue
            for metric in (one.metric for one in promql.named(expression).selectors):
                rises = kinds.get(metric) in ("Counter", "Histogram")
                rated = re.search(rf"(rate|increase)\(\s*{metric}\b", expression) is not None
                self.assertEqual(rated, rises, f"{place}: {metric}")

    def test_what_others_export_too_is_told_apart_by_a_label_of_ours(self):
        for place, expression in self.expressions().items():
            for selector in promql.named(expression).selectors:
                if selector.metric.startswith(CONVENTIONAL):
                    ours = [label for label, operator, value in selector.matchers
                            if label.startswith("portolan_") and (operator, value) == ("!=", "")]
                    self.assertTrue(ours, f"{place}: {selector.metric}")

    def test_every_alert_says_how_bad_it_is_what_is_so_and_what_to_do(self):
        self.assertGreater(len(self.alerts()), 5)
        for rule in self.alerts():
            with self.subTest(rule["alert"]):
                self.assertRegex(rule["alert"], "^Portolan[A-Z]")
                self.assertIn(rule["labels"]["severity"], SEVERITIES)
                self.assertEqual(set(rule["annotations"]), {"summary", "description", "next_step"})
                self.assertNotIn("\n", "".join(rule["annotations"].values()))

    def test_panels_lie_side_by_side_and_are_told_apart(self):
        panels = self.dashboard()["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        titles = [panel["title"] for panel in panels]
        self.assertEqual(len(set(titles)), len(titles))
        cells = set()
        for panel in panels:
            place = panel["gridPos"]
            own = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                   for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(own & cells, panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            cells |= own

    def test_alerts_name_panels_that_are_there(self):
        titles = {panel["title"] for panel in self.dashboard()["panels"]}
        for rule in self.alerts():
            self.assertLessEqual(set(re.findall(r'dashboard\'s "([^"]+)"', rule["annotations"]["next_step"])), titles)

    def test_every_query_asks_the_chosen_data_source(self):
        dashboard = self.dashboard()
        for panel in dashboard["panels"]:
            for one in [panel, *panel.get("targets", [])] if panel["type"] != "row" else []:
                self.assertEqual(one["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])
        names = {one["name"] for one in dashboard["templating"]["list"]}
        self.assertEqual(names, {"datasource", "namespace", "gateway", "route"})
        used = set(re.findall(r"\$(?!__)(\w+)", " ".join(self.expressions().values())))
        self.assertEqual(used, names - {"datasource"})


class Reading(unittest.TestCase):
    def test_metrics_labels_and_values_are_told_apart(self):
        read = promql.named('sum by (a, b) (rate(x_total{c=~"d|e", f!=""}[5m])) / on (g) group_left (h) y > 0.5 and z')
        self.assertEqual([one.metric for one in read.selectors], ["x_total", "y", "z"])
        self.assertEqual(read.selectors[0].matchers, [("c", "=~", "d|e"), ("f", "!=", "")])
        self.assertEqual(read.grouped_by, {"a", "b", "g", "h"})

    def test_what_cannot_be_read_is_no_expression(self):
        for wrong in ("rate(x[5 minutes])", "sum(x", "x{a=b}", "x{a~'b'}", "sum by a (x)", "x[$__interval_of_mine]"):
            with self.subTest(wrong), self.assertRaises(ValueError):
                promql.named(wrong)


if __name__ == "__main__":
    unittest.main()
