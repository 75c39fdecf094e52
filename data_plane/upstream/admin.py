"""The way to the control plane's Admin API, for calls that the gateway relays and does not read."""

from collections.abc import Mapping
from typing import Final

from data_plane.core.types import Upload, UpstreamBody, UpstreamRequest
from data_plane.upstream.client import UpstreamClient
from shared.hosts import host_of

TIMEOUT_MS: Final = 60_000
#: Headers that belong to one connection, or that say who stands before the gateway.
_NOT_RELAYED: Final = frozenset(
    {"host", "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade",
     "transfer-encoding", "expect", "accept-encoding", "forwarded", "x-forwarded-for", "x-real-ip", "cookie"}
)  # fmt: skip


class AdminRelay:
    """Connections to the Admin API at `base_url`; an address of the operator's, so a private one is allowed."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._client = UpstreamClient(frozenset({host_of(self._base_url)}))

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], upload: Upload | None, client_ip: str | None
    ) -> UpstreamBody:
        """Return the answer to a call; raises GatewayError when there is none.

        `target` is path and query as in the request line, `headers` have lower-case names; `upload` comes unpacked.
        """
        relayed = {name: value for name, value in headers.items() if name not in _NOT_RELAYED}
        if upload is None or relayed.pop("content-encoding", None) is not None:
            relayed.pop("content-length", None)
        if client_ip:
            relayed["x-forwarded-for"] = client_ip
        return await self._client.send(
            UpstreamRequest(
                self._base_url + target, relayed, b"", stream=False, timeout_ms=TIMEOUT_MS, method=method, upload=upload
            )
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
