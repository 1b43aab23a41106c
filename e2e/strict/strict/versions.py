"""The pinned version of what came from a registry."""

import importlib.metadata
import re

from . import places


def python(package: str) -> str:
    """Of a package of requirements.txt."""
    return f"{package} {importlib.metadata.version(package)}"


def go(module: str) -> str:
    """Of a module of go.mod."""
    found = re.search(rf"^\s*{re.escape(module)} (\S+)", places.GO_MODULE.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{module} is not in {places.GO_MODULE}")
    return found[1].removesuffix("+incompatible")
