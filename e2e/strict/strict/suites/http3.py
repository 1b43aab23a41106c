"""HTTP/3 with aioquic: requests of a foreign client, and the errors that RFC 9114 and RFC 9204 ask for."""

import http.client
import ssl

from .. import cases, versions
from ..http3 import broken, wellformed
from ..outcome import SuiteResult
from ..world import NAME, World


def run(world: World) -> list[SuiteResult]:
    """Well-formed and broken; neither where HTTP/3 is not announced."""
    version = versions.python("aioquic")
    parts = [
        ("http3", "HTTP/3, well-formed", wellformed.CASES),
        ("http3-errors", "HTTP/3, broken (h3spec's cases and more)", broken.CASES),
    ]
    if not _announced(world):
        return [SuiteResult(key, title, version, [], not_served=True) for key, title, _ in parts]
    return [SuiteResult(key, title, version, cases.run(functions, world)) for key, title, functions in parts]


def _announced(world: World) -> bool:
    """Whether an answer over TCP names HTTP/3 on the same port (RFC 7838)."""
    trust = ssl.create_default_context(cafile=str(world.authority))
    connection = http.client.HTTPSConnection(NAME, world.ports.https, context=trust, timeout=10)
    connection.request("GET", "/")
    announced = connection.getresponse().getheader("Alt-Svc") or ""
    connection.close()
    return f'h3=":{world.ports.https}"' in announced
