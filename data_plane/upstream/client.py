"""Send one call to a provider; whatever goes wrong in transport becomes a GatewayError.

The seam of the hot path: nothing above this module knows which HTTP client is used.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from data_plane.core.parts import LARGE_BYTES, Part
from data_plane.core.types import UpstreamRequest
from data_plane.upstream.connection import Connection
from data_plane.upstream.pool import Origin, Pool
from data_plane.upstream.ssrf import AddressRefused, MayReach
from data_plane.upstream.upload import FramedUpload, stated_length
from shared.errors import (
    ConnectTimeout,
    HostRefused,
    UpstreamBroken,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from shared.hosts import may_connect

CONNECT_TIMEOUT_S: Final = 10.0
#: How long a provider may be silent before its head, and between two pieces of a body, unless a timeout is set.
SILENCE_TIMEOUT_S: Final = 600.0
MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
MAX_REMEMBERED_CHARS: Final = 512
#: Headers that say where a request ends or where it goes: this module's to write, whoever asks for others.
_FRAMING: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
#: Methods for which no body is the usual case, and says so by itself.
_USUALLY_EMPTY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class UpstreamResponse:
    """An answer whose head has arrived."""

    __slots__ = ("_connection", "_origin", "_pool", "headers", "status")

    def __init__(self, connection: Connection, origin: Origin, pool: Pool) -> None:
        self._connection: Connection | None = connection
        self._origin = origin
        self._pool = pool
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    async def read(self, limit: int = MAX_ANSWER_BYTES) -> bytes:
        """Return the whole body; raises UpstreamInvalid beyond `limit` bytes, UpstreamBroken when it breaks off."""
        length = self.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise UpstreamInvalid("The provider's answer is too large.")
        parts, size = [], 0
        async for part in self.chunks():
            size += len(part)
            if size > limit:
                raise UpstreamInvalid("The provider's answer is too large.")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield pieces of the body as they arrive; raises UpstreamBroken when the provider breaks off."""
        connection = self._connection
        if connection is None:
            raise UpstreamBroken("The provider's answer has been dropped.")
        while piece := await connection.read():
            yield piece
        self.close()

    def close(self) -> None:
        """Give the connection back when the answer has been read to its end, else drop it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.is_finished():
            self._pool.give_back(self._origin, connection)
        else:
            connection.close()


def _parse_place(url: str) -> tuple[Origin, str, str]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not a URL that can be called")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(char <= " " for char in path):
        raise ValueError("not a path that can be sent")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, parts.hostname, port), parts.netloc, path


_remembered_place = lru_cache(maxsize=4096)(_parse_place)


def _place(url: str) -> tuple[Origin, str, str]:
    """Return (origin, Host header, path with query) of a URL; raises ValueError."""
    # Callers choose the long ones, each different from the last: remembered, they would fill the memory.
    return _remembered_place(url) if len(url) <= MAX_REMEMBERED_CHARS else _parse_place(url)


def _head_bytes(call: UpstreamRequest, host: str, path: str, framing: str) -> bytes:
    """Return the head of a request; raises ValueError for a method or header that would end its own line."""
    method = call.method
    if not method.isalpha():
        raise ValueError("not a method")
    lines = [f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{framing}"]
    for name, value in call.headers.items():
        if name.lower() in _FRAMING:
            continue
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError("a header holds a line break")
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1", "strict")


def request_parts(call: UpstreamRequest, host: str, path: str) -> tuple[Part, ...]:
    """Return the parts of a request with a whole body; raises ValueError for what cannot be sent."""
    parts = (call.body,) if isinstance(call.body, bytes) else call.body
    length = sum(map(len, parts))
    if not length and call.method in _USUALLY_EMPTY:
        return (_head_bytes(call, host, path, ""),)
    head = _head_bytes(call, host, path, f"content-length: {length}\r\n")
    # A small request leaves in one packet; a large body is not copied for that.
    return (head + b"".join(parts),) if length <= LARGE_BYTES else (head, *parts)


def _upload_of(call: UpstreamRequest) -> FramedUpload | None:
    """Return the body that is streamed, of the length that the headers promise; raises ValueError."""
    if call.upload is None:
        return None
    stated = [value for name, value in call.headers.items() if name.lower() == "content-length"]
    return FramedUpload(call.upload, stated_length(stated[0]) if stated else None)


def _upload_head(call: UpstreamRequest, upload: FramedUpload, host: str, path: str) -> bytes:
    known = upload.length is not None
    framing = f"content-length: {upload.length}\r\n" if known else "transfer-encoding: chunked\r\n"
    return _head_bytes(call, host, path, framing)


class UpstreamClient:
    """Calls to providers, over connections that all requests of this process share."""

    def __init__(
        self,
        trusted_hosts: Collection[str],
        *,
        silence_s: float = SILENCE_TIMEOUT_S,
        may_reach: MayReach = may_connect,
    ) -> None:
        self._pool = Pool(trusted_hosts, connect_s=CONNECT_TIMEOUT_S, silence_s=silence_s, may_reach=may_reach)

    async def send(self, call: UpstreamRequest) -> UpstreamResponse:
        """Return the provider's answer as soon as its head is there, also when that is before the end of an upload.

        Raises UpstreamTimeout after `call.timeout_ms`, UpstreamUnreachable when no answer can be had, UpstreamInvalid
        or UpstreamBroken when it is none; BadRequest when an upload is not as long as promised, and whatever its
        source raises.
        """
        try:
            if call.timeout_ms is None:
                return await self._send(call)
            async with asyncio.timeout(call.timeout_ms / 1000):
                return await self._send(call)
        except TimeoutError:
            if call.timeout_ms is not None:
                raise UpstreamTimeout(call.timeout_ms) from None
            raise UpstreamUnreachable("The provider did not answer in time.") from None

    async def _send(self, call: UpstreamRequest) -> UpstreamResponse:
        try:
            origin, host, path = _place(call.url)
            upload = _upload_of(call)
            request = request_parts(call, host, path) if upload is None else (_upload_head(call, upload, host, path),)
        except ValueError:
            raise UpstreamUnreachable("The provider's address or a header cannot be sent.") from None
        only_head = call.method == "HEAD"
        # An upload can be read once only, so it does not go where the provider may have hung up already.
        kept = self._pool.idle(origin) if upload is None else None
        if kept is not None:
            try:
                return await self._exchange(kept, origin, request, only_head=only_head)
            except UpstreamBroken:
                # A kept connection that the provider closed while it was idle says nothing about the request; once a
                # single byte of an answer has come, the call may have had its effect and is not made again.
                if kept.touched:
                    raise
        connection = await self._connect(origin)
        return await self._exchange(connection, origin, request, upload, only_head=only_head)

    async def _connect(self, origin: Origin) -> Connection:
        try:
            return await self._pool.connect(origin)
        except AddressRefused:
            raise HostRefused("Invalid custom host", path="custom_host") from None
        except TimeoutError:
            raise ConnectTimeout("The provider cannot be reached in time.") from None
        except (OSError, UnicodeError):
            raise UpstreamUnreachable("The provider cannot be reached.") from None

    async def _exchange(
        self,
        connection: Connection,
        origin: Origin,
        request: tuple[Part, ...],
        upload: FramedUpload | None = None,
        *,
        only_head: bool,
    ) -> UpstreamResponse:
        try:
            await connection.send(request, upload, only_head=only_head)
        except BaseException:
            # Cancelled or failed: an answer to this request may still be on its way, so nobody else may read here.
            connection.close()
            raise
        return UpstreamResponse(connection, origin, self._pool)

    async def close(self) -> None:
        """Close every idle connection."""
        await self._pool.close()
