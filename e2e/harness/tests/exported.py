"""What Portolan exports to Prometheus, read from the code that defines it: names of metrics, labels and some values."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMES = ROOT / "telemetry/src/metrics/names.rs"
MAPPING = ROOT / "telemetry/src/metrics/prometheus.rs"
LIMITS = ROOT / "docs/limits.md"
# Where an enum's variants have names that are values of a label.
VALUES = {
    "error_type": ROOT / "telemetry/src/flag.rs",
    "reason": ROOT / "telemetry/src/metrics/engine.rs",
    "portolan_outcome": ROOT / "controller/src/metrics.rs",
}

METRIC = re.compile(
    r'pub static [A-Z0-9_]+: Metric<(?P<kind>\w+)> =\s*Metric::\w+\(\s*"(?P<name>[^"]+)",\s*(?P<unit>\w+(?:::\w+)?)')
UNIT = re.compile(r"const (\w+): Unit = Unit::(\w+)")
SUFFIX = re.compile(r'Unit::(\w+)(?:\(_\))? => "(\w*)"')
KEY = re.compile(r'pub const \w+: Key = "([^"]+)"')
VARIANT = re.compile(r'\w+::\w+ => "(\w+)"')


def spelt(name: str) -> str:
    """A dotted name as Prometheus spells it."""
    return re.sub(r"[^A-Za-z0-9]", "_", name)


def metrics() -> dict[str, str]:
    """Every series' name, and the kind of its metric."""
    source = NAMES.read_text()
    aliases = dict(UNIT.findall(source))
    suffixes = dict(SUFFIX.findall(MAPPING.read_text()))
    found = {}
    for kind, name, unit in METRIC.findall(source):
        unit = aliases.get(unit, unit.removeprefix("Unit::"))
        base = spelt(name) + suffixes[unit]
        parts = {"Counter": ["_total"], "Histogram": ["_bucket", "_sum", "_count"]}.get(kind, [""])
        found |= {base + part: kind for part in parts}
    return found


def defined() -> int:
    """How many metrics there are, counted otherwise than they are read."""
    return NAMES.read_text().count("pub static ")


def labels() -> set[str]:
    """Every label's name."""
    return {spelt(key) for key in KEY.findall(NAMES.read_text())}


def values(label: str) -> set[str] | None:
    """The values of a label, where the code or the page of limits lists them."""
    if label == "portolan_limit":
        return set(re.findall(r"`([a-z0-9_]+)`", LIMITS.read_text()))
    return set(VARIANT.findall(VALUES[label].read_text())) if label in VALUES else None
