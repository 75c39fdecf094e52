"""Send one call to a provider; whatever goes wrong in transport becomes a GatewayError.

The seam of the hot path: nothing above this module knows which HTTP client is used.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from data_plane.core.types import UpstreamRequest
from data_plane.upstream.ssrf import AddressRefused, GuardedResolver
from shared.errors import UpstreamBroken, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable

CONNECT_TIMEOUT_S: Final = 10.0
#: How long a provider may be silent before its head, and between two pieces of a body, unless a timeout is set.
SILENCE_TIMEOUT_S: Final = 600.0
KEEPALIVE_S: Final = 30.0
MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
_READ_BYTES: Final = 64 * 1024

_LIMITS: Final = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S)


class UpstreamResponse:
    """An answer whose head has arrived."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit: int = MAX_ANSWER_BYTES) -> bytes:
        """Return the whole body; raises UpstreamInvalid beyond `limit` bytes, UpstreamBroken when it breaks off."""
        length = self._response.content_length
        if length is not None and length > limit:
            raise UpstreamInvalid("The provider's answer is too large.")
        try:
            if length is not None:
                return await self._response.read()
            parts, size = [], 0
            async for part in self._response.content.iter_any():
                size += len(part)
                if size > limit:
                    raise UpstreamInvalid("The provider's answer is too large.")
                parts.append(part)
            return b"".join(parts)
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise UpstreamBroken("The provider's answer broke off.") from None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield pieces of the body as they arrive; raises UpstreamBroken when the provider breaks off."""
        try:
            async for part in self._response.content.iter_any():
                yield part
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise UpstreamBroken("The provider's answer broke off.") from None

    def close(self) -> None:
        """Drop the connection unless the body was read to its end; then it goes back to the pool by itself."""
        self._response.close()


class UpstreamClient:
    """Connections to providers, kept alive and shared by all requests of this process."""

    def __init__(self, trusted_hosts: Collection[str]) -> None:
        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=0,
            keepalive_timeout=KEEPALIVE_S,
            resolver=GuardedResolver(trusted_hosts),
            ttl_dns_cache=10,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=_LIMITS,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT_ENCODING),
            read_bufsize=_READ_BYTES,
        )

    async def send(self, call: UpstreamRequest, method: str = "POST") -> UpstreamResponse:
        """Return the provider's answer as soon as its head is there.

        Raises UpstreamTimeout after `call.timeout_ms`, UpstreamUnreachable when no answer can be had.
        """
        limit_s = call.timeout_ms / 1000 if call.timeout_ms else None
        try:
            async with asyncio.timeout(limit_s):
                response = await self._session.request(
                    method,
                    URL(call.url, encoded=True),
                    data=call.body or None,
                    headers=call.headers,
                    allow_redirects=False,
                )
        except TimeoutError as fault:
            if call.timeout_ms and not isinstance(fault, aiohttp.ClientError):
                raise UpstreamTimeout(call.timeout_ms) from None
            raise UpstreamUnreachable("The provider did not answer in time.") from None
        except AddressRefused:
            raise UpstreamUnreachable("The provider's address is not allowed.") from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            if isinstance(fault.__cause__, AddressRefused):
                raise UpstreamUnreachable("The provider's address is not allowed.") from None
            raise UpstreamUnreachable("The provider cannot be reached.") from None
        return UpstreamResponse(response)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
