"""Writes docs/conformance: a page with every test's outcome, and the suite's report, which knows none of our own."""

import json
import shutil
from pathlib import Path

from conformance import build, table
from conformance.outcomes import Outcome

DOCS = build.ROOT / "docs/conformance"
LINES_SHOWN = 60


def write(ended: dict[str, Outcome], report: Path, versions: str) -> None:
    """Writes the page and the report anew."""
    DOCS.mkdir(parents=True, exist_ok=True)
    kubernetes = json.loads(versions)["serverVersion"]["gitVersion"]
    (DOCS / "README.md").write_text(table.page(build.tests(), ended, build.suite_version(), kubernetes))
    shutil.copyfile(report, DOCS / f"experimental-{build.version()}-default-report.yaml")
