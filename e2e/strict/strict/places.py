"""Where things lie. It makes none of them."""

import os
from pathlib import Path

STRICT = Path(__file__).resolve().parent.parent
REPOSITORY = STRICT.parent.parent
TARGET = REPOSITORY / "target" / "e2e"

REQUIREMENTS = STRICT / "requirements.txt"
GO_MODULE = STRICT / "go.mod"
GO_SUMS = STRICT / "go.sum"
EXPECTED = STRICT / "expected.toml"
PAGE = REPOSITORY / "docs" / "strictness.md"

VENV = TARGET / "venv"
PYTHON = VENV / "bin" / "python"
TOOLS = TARGET / "bin"
H2SPEC = TOOLS / "h2spec"
INTEROP_CLIENT = TOOLS / "client"
INTEROP_SERVER = TOOLS / "server"
LOGS = TARGET / "logs"

BINARY_VARIABLE = "PORTOLAN_BINARY"
"""Names another binary to examine."""


def portolan() -> Path:
    """The binary that is examined."""
    return Path(os.environ.get(BINARY_VARIABLE, REPOSITORY / "target" / "debug" / "portolan"))
