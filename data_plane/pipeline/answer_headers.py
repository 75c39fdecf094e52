"""Which headers of a provider's answer does the caller get?"""

from collections.abc import Mapping
from typing import Final

from shared import wire

#: Headers that are about the provider's connection, the bytes on it or its host, not about the answer.
_NOT_PASSED_ON: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade", "content-length", "content-encoding", "content-type", "date", "server", "set-cookie", "alt-svc",
     "strict-transport-security", "nel", "report-to"}
)  # fmt: skip


def answer_headers(upstream: Mapping[str, str]) -> dict[str, str]:
    """Return the provider's headers that are passed on, names in lower case; the content's own are not among them."""
    passed = {}
    named = next((value for name, value in upstream.items() if name.lower() == "connection"), "")
    of_connection = {name.strip().lower() for name in named.split(",")}
    for name, value in upstream.items():
        lowered = name.lower()
        if lowered not in _NOT_PASSED_ON and lowered not in of_connection and not lowered.startswith(wire.PREFIX):
            passed[lowered] = value
    return passed
