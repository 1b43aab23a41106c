"""Writes docs/conformance: a page with every test's outcome, and the suite's reports."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from conformance import build, table
from conformance.outcomes import Outcome

DOCS = build.ROOT / "docs/conformance"
LINES_SHOWN = 60


def write(ended: dict[str, Outcome], report: Path, versions: str) -> None:
    """Writes the page and the report anew."""
    DOCS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "tests.json"
        subprocess.run([build.home() / "conformance.test", "-test.run=TestList", f"-list-tests={listed}"], check=True,
                       stdout=subprocess.DEVNULL)
        tests = json.loads(listed.read_text())
    kubernetes = json.loads(versions)["serverVersion"]["gitVersion"]
    (DOCS / "README.md").write_text(table.page(tests, ended, build.suite_version(), kubernetes))
    shutil.copyfile(report, DOCS / f"experimental-{build.version()}-default-report.yaml")
