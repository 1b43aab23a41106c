"""Reads JUnit reports as h2spec writes them."""

import xml.etree.ElementTree as ElementTree

from .outcome import Case, Outcome


def parse(report: str) -> list[Case]:
    """The cases of a JUnit report."""
    return [_case(element) for element in ElementTree.fromstring(report).iter("testcase")]


def _case(element: ElementTree.Element) -> Case:
    name = f"{element.get('package')}: {element.get('classname')}"
    problem = next((found for kind in ("failure", "error") if (found := element.find(kind)) is not None), None)
    if problem is not None:
        return Case(name, Outcome.FAILED, " ".join("".join(problem.itertext()).split()))
    return Case(name, Outcome.SKIPPED if element.find("skipped") is not None else Outcome.PASSED)
