"""Open a WebSocket to a provider, by the rules of every other call: where it may lead, how long it may take.

aiohttp speaks the protocol, here and for callers; above this module nobody knows that.  No redirect is followed: the
credential is for the host that was checked.  Nothing is compressed, so that a session costs a bounded memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final, Literal

import aiohttp
from aiohttp import web
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

from data_plane.core.duplex import ABNORMAL, GOING_AWAY, TOO_LARGE, Closed, Message, passed_on
from data_plane.core.types import UpstreamRequest
from data_plane.upstream.ssrf import AddressRefused, GuardedResolver
from data_plane.upstream.tls import tls_context
from shared.errors import (
    ConnectTimeout,
    GatewayError,
    HostRefused,
    Unavailable,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from shared.hosts import may_connect, parse_address

CONNECT_TIMEOUT_S: Final = 10.0
#: How long a provider may take to accept a session, unless a timeout is set.
HANDSHAKE_TIMEOUT_S: Final = 30.0
#: How long the other side may take to answer a goodbye.
CLOSE_TIMEOUT_S: Final = 2.0
PING_TIMEOUT_S: Final = 1.0
MAX_REFUSAL_BYTES: Final = 1024 * 1024
#: Control frames have 125 bytes, two of which are the code.
MAX_REASON_BYTES: Final = 123
RESOLVED_S: Final = 10
MAX_SESSIONS: Final = 1000
#: What this module writes itself.
_OF_THE_HANDSHAKE: Final = frozenset({"host", "connection", "upgrade", "content-length", "content-type"})

_Socket = aiohttp.ClientWebSocketResponse[Literal[False]] | web.WebSocketResponse[Literal[False]]


class TooManySessions(Unavailable):
    """As many realtime sessions are open as this process may have."""

    code = "too_many_sessions"


class WebSocket:
    """One WebSocket of aiohttp's, a caller's or a provider's, that neither answers pings nor closes by itself."""

    def __init__(self, socket: _Socket, *, most_bytes: int, abort: Callable[[], None] | None = None) -> None:
        """`most_bytes` may be in a message; `abort` drops the connection at once."""
        self._socket = socket
        self._most_bytes = most_bytes
        self._abort = abort
        self._fault: object = None
        self.heard = 0
        self.is_listening = False

    @property
    def violation(self) -> int | None:
        """Return how the other side broke the protocol; see `Duplex`."""
        # The library may still be at its goodbye when nobody waits for a message any more.
        fault = self._fault or self._socket.exception()
        return int(fault.code) if isinstance(fault, aiohttp.WebSocketError) else None

    async def receive(self) -> Message | Closed:
        """Return the next message or the end; see `Duplex`."""
        self.is_listening = True
        try:
            while True:
                received = await self._socket.receive()
                self.heard += 1
                if received.type is aiohttp.WSMsgType.PING:
                    await self._socket.pong(received.data)
                elif received.type is not aiohttp.WSMsgType.PONG:
                    taken = self._taken(received)
                    if isinstance(taken, Message) and len(taken.content) > self._most_bytes:
                        self._fault = aiohttp.WebSocketError(TOO_LARGE, "too large")
                        return Closed(TOO_LARGE, is_orderly=False)
                    return taken
        except ConnectionError:
            return Closed(ABNORMAL, is_orderly=False)
        finally:
            self.is_listening = False

    def _taken(self, received: Any) -> Message | Closed:
        kind = received.type
        if kind in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            return Message(received.data, kind is aiohttp.WSMsgType.TEXT)
        if kind is aiohttp.WSMsgType.CLOSE:
            return Closed(received.data, received.extra or "")
        if isinstance(received.data, aiohttp.WebSocketError):
            self._fault = received.data
            return Closed(int(received.data.code), is_orderly=False)
        return Closed(ABNORMAL, is_orderly=False)

    async def send(self, message: Message) -> None:
        """Send a message; see `Duplex`."""
        kind = aiohttp.WSMsgType.TEXT if message.is_text else aiohttp.WSMsgType.BINARY
        await self._socket.send_frame(message.content, kind)

    async def ping(self) -> None:
        """Ask for a sign of life; see `Duplex`."""
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._socket.ping()

    async def close(self, code: int, reason: str) -> None:
        """End the connection; see `Duplex`."""
        shortened = reason.encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=passed_on(code), message=shortened)
        except (ConnectionError, TimeoutError):
            if self._abort is not None:
                self._abort()


class ProviderSocket(WebSocket):
    """The provider's side of a session."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse[Literal[False]], sockets: "Sockets", *, most_bytes: int
    ) -> None:
        super().__init__(socket, most_bytes=most_bytes)
        self._sockets = sockets
        self._has_ended = False

    def hang_up(self, code: int = GOING_AWAY, reason: str = "") -> None:
        """End the connection in order without waiting for it; only the first call counts.  Raises nothing."""
        if not self._has_ended:
            self._has_ended = True
            self._sockets.take_leave(self.close(code, reason))


class RefusedUpgrade:
    """A provider's answer in place of a session; it is read already."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self._content = content

    async def read(self, limit: int = MAX_REFUSAL_BYTES) -> bytes:
        """Return the body; raises UpstreamInvalid beyond `limit` bytes."""
        if len(self._content) > limit:
            raise UpstreamInvalid("The provider's answer is too large.")
        return self._content

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self._content

    def close(self) -> None:
        """Do nothing: the connection is gone already."""


class _NoUpgrade(Exception):
    def __init__(self, answer: RefusedUpgrade) -> None:
        super().__init__("no upgrade")
        self.answer = answer


async def _read_refusal(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    with suppress(aiohttp.ClientError, ValueError):
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > MAX_REFUSAL_BYTES:
                # Nobody reads half a JSON object.
                return b""
    return bytes(content)


async def _keep_refusal(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise _NoUpgrade with what the provider says, which aiohttp would drop, and before it follows a redirect."""
    response = await handler(request)
    if response.status == 101:
        return response
    try:
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise _NoUpgrade(RefusedUpgrade(response.status, headers, await _read_refusal(response)))
    finally:
        response.close()


def _sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers as aiohttp takes them: text, where the rest of the gateway has bytes spelt as Latin-1."""
    return {
        name: value.encode("latin-1", "replace").decode("utf-8", "replace")
        for name, value in headers.items()
        if name not in _OF_THE_HANDSHAKE and not name.startswith("sec-websocket-")
    }


def _fault_of(fault: Exception) -> GatewayError:
    """Return what a caller is told of a connection that could not be made."""
    if isinstance(getattr(fault, "os_error", fault), AddressRefused):
        return HostRefused("Invalid custom host", path="custom_host")
    if isinstance(fault, TimeoutError):
        return ConnectTimeout("The provider cannot be reached in time.")
    if isinstance(fault, aiohttp.WSServerHandshakeError):
        return UpstreamInvalid("The provider's answer is not a WebSocket's.")
    if isinstance(fault, ValueError):
        return UpstreamUnreachable("The provider's address or a header cannot be sent.")
    return UpstreamUnreachable("The provider cannot be reached.")


class Sockets:
    """The WebSockets to providers of this process."""

    def __init__(
        self,
        trusted_hosts: Collection[str] = (),
        *,
        most: int = MAX_SESSIONS,
        max_message_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        """`most` sessions may be open at once; a larger message than `max_message_bytes` ends its session."""
        self._trusted = trusted_hosts
        self._most = most
        self._max_message_bytes = max_message_bytes
        self._session: aiohttp.ClientSession | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self.open_count = 0

    def _shared(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=GuardedResolver(self._trusted),
                    limit=0,
                    force_close=True,
                    ttl_dns_cache=RESOLVED_S,
                    ssl=tls_context(),
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent", "accept", "accept-encoding"),
                middlewares=(_keep_refusal,),
                trust_env=False,
            )
        return self._session

    def _check_address(self, url: URL) -> None:
        """Raise AddressRefused for an address that must not be reached; a name is looked at when it is resolved."""
        literal = parse_address(url.host or "")
        if literal is not None and not may_connect(url.host or "", literal, self._trusted):
            raise AddressRefused("the address is not allowed")

    async def connect(self, call: UpstreamRequest) -> ProviderSocket | RefusedUpgrade:
        """Return an open session, or what the provider answered in its place.

        Raises TooManySessions (503), UpstreamTimeout after `call.timeout_ms`, HostRefused, UpstreamUnreachable or
        UpstreamInvalid.
        """
        if self.open_count >= self._most:
            raise TooManySessions("This gateway has no room for another realtime session; try again later.")
        self.open_count += 1
        socket: ProviderSocket | None = None
        try:
            socket = ProviderSocket(await self._connect(call), self, most_bytes=self._max_message_bytes)
        except _NoUpgrade as refused:
            return refused.answer
        except TimeoutError as fault:
            raise (UpstreamTimeout(call.timeout_ms) if call.timeout_ms else _fault_of(fault)) from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise _fault_of(fault) from None
        finally:
            if socket is None:
                self.open_count -= 1
        return socket

    async def _connect(self, call: UpstreamRequest) -> aiohttp.ClientWebSocketResponse[Literal[False]]:
        url = URL(call.url, encoded=True)
        self._check_address(url)
        limit_s = HANDSHAKE_TIMEOUT_S if call.timeout_ms is None else call.timeout_ms / 1000
        async with asyncio.timeout(limit_s):
            return await self._shared().ws_connect(
                url,
                headers=_sendable(call.headers),
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                autoclose=False,
                autoping=False,
                # The library refuses what is as long as its limit.
                max_msg_size=self._max_message_bytes + 1,
                decode_text=False,
            )

    def take_leave(self, closing: Any) -> None:
        """Close a connection beside whatever else goes on; its place is free at once."""
        self.open_count -= 1
        task = asyncio.get_running_loop().create_task(closing)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Wait for goodbyes, which take two seconds at the most, and close every connection."""
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
