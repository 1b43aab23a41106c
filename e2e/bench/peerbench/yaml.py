"""Writes plain data as YAML, as people write manifests: in blocks. It reads none."""

import json
from typing import Any, Iterator


def documents(objects: list[dict]) -> str:
    """The objects as one stream of documents."""
    return "---\n".join(document(one) for one in objects)


def document(value: dict) -> str:
    """One document."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{indent}{key}:", inner, indent + "  ")
    else:
        for inner in value:
            yield from _item(inner, indent)


def _entry(head: str, inner: Any, indent: str) -> Iterator[str]:
    if isinstance(inner, (dict, list)) and inner:
        yield head
        yield from _lines(inner, indent)
    else:
        yield f"{head} {_scalar(inner)}"


def _item(inner: Any, indent: str) -> Iterator[str]:
    if isinstance(inner, (dict, list)) and inner:
        first, *rest = _lines(inner, indent + "  ")
        yield f"{indent}- {first.strip()}"
        yield from rest
    else:
        yield f"{indent}- {_scalar(inner)}"


def _scalar(value: Any) -> str:
    # Every JSON scalar is one of YAML's; quoting all strings keeps "off" and "1" strings.
    return json.dumps(value)
