"""Relay a realtime session: every message both ways, as it comes and in order, until one side ends it or it must end.

Each direction has one message in hand at a time, so a slow side slows the other and no memory grows.  Nothing is ever
tried again: a provider that breaks off is told to the caller as an error event and an end with a code, not as silence.
The session's record is written once, at its end, like that of any other request; it keeps no messages.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from data_plane.core.duplex import (
    ABNORMAL,
    FAILED,
    GOING_AWAY,
    REFUSED,
    TOO_LARGE,
    Closed,
    Duplex,
    Message,
    SessionLimits,
    passed_on,
)
from data_plane.core.exchange import Exchange
from data_plane.pipeline.authenticate import is_known
from data_plane.pipeline.target import Destination
from data_plane.providers.base import StreamDecoder
from data_plane.sync.snapshot import Snapshot
from data_plane.upstream.sockets import CLOSE_TIMEOUT_S, ProviderSocket
from shared.errors import (
    BadRequest,
    BodyTooLarge,
    BudgetExceeded,
    BudgetUnavailable,
    GatewayError,
    Unauthenticated,
    Unavailable,
    UpstreamBroken,
)

#: How long a caller that takes nothing any more is offered the event that says why the session ends.
TELL_TIMEOUT_S: Final = 1.0


class SessionIdle(GatewayError):
    """Neither side said anything for too long."""

    status = 408
    code = "session_idle"


class SessionExpired(GatewayError):
    """The session lasted as long as one may."""

    status = 408
    code = "session_expired"


class CallerGone(GatewayError):
    """The caller left without a goodbye."""

    status = 499
    code = "client_closed_request"


class Draining(Unavailable):
    """The gateway is about to stop."""

    code = "draining"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ends: what the caller is told, and what the provider is."""

    code: int
    reason: str = ""
    error: GatewayError | None = None
    is_told: bool = True
    provider_code: int = GOING_AWAY
    provider_reason: str = ""


_CALLER_GONE: Final = Ending(ABNORMAL, error=CallerGone("The caller has gone."), is_told=False)


def _because(code: int, error: GatewayError) -> Ending:
    return Ending(code, error.message, error)


def _by_caller(end: Closed) -> Ending:
    if not end.is_orderly:
        return _CALLER_GONE if end.code == ABNORMAL else _because(end.code, _violation(end.code))
    code = passed_on(end.code)
    return Ending(code, end.reason, provider_code=code, provider_reason=end.reason)


def _violation(code: int) -> GatewayError:
    if code == TOO_LARGE:
        return BodyTooLarge("A message of the caller was too large.")
    return BadRequest("The caller broke the WebSocket protocol.")


def _by_provider(end: Closed) -> Ending:
    if not end.is_orderly:
        return _because(FAILED, UpstreamBroken("The provider broke the session off."))
    code = passed_on(end.code)
    return Ending(code, end.reason, provider_code=code)


class Session:
    """One realtime session whose provider has accepted it.

    `cover` sees to it that what was used so far is set aside in the budgets that pay for it, or raises why it is not.
    """

    def __init__(
        self,
        provider: ProviderSocket,
        destination: Destination,
        exchange: Exchange,
        *,
        cover: Callable[[], Awaitable[None]],
        limits: SessionLimits,
        clock: Callable[[], float],
    ) -> None:
        operation = destination.operation
        assert operation is not None  # noqa: S101 -- only an operation opens a session, for the type checker
        self._provider = provider
        self._events: StreamDecoder = operation.decoder(destination.facts)
        self._error_event = operation.framing.error_frame
        self._row = destination.virtual_key
        self._exchange = exchange
        self._cover = cover
        self._counted = asyncio.Event()
        self._limits = limits
        self._clock = clock
        self._spoken_s = clock()
        self._told: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._is_over = False

    @property
    def max_message_bytes(self) -> int:
        """Return the most that one message may have."""
        return self._limits.max_message_bytes

    # what ends it from outside

    def is_denied(self, denied: frozenset[str]) -> bool:
        """Return whether the caller or the credential that it uses is among the revoked."""
        return self._exchange.is_denied(denied)

    def is_orphan(self, snapshot: Snapshot) -> bool:
        """Return whether a newer configuration lacks the key or the credential that this session lives by."""
        principal, row = self._exchange.principal, self._row
        if principal is not None and not is_known(principal, snapshot):
            return True
        known = None if row is None else snapshot.virtual_keys.get(row.id)
        return row is not None and (known is None or known.uid != row.uid)

    def refuse(self) -> None:
        """End the session with an error event: its caller or its credential was revoked."""
        self._end(_because(REFUSED, Unauthenticated("The API key or the provider was revoked during the session.")))

    def drain(self) -> None:
        """End the session with an error event: the gateway stops."""
        self._end(_because(GOING_AWAY, Draining("The gateway is being restarted; connect again.")))

    def close(self) -> None:
        """Drop the provider's connection unless it has ended already."""
        self._provider.hang_up()

    def _end(self, ending: Ending) -> None:
        if not self._told.done():
            self._told.set_result(ending)

    # the relay

    async def run(self, caller: Duplex) -> None:
        """Relay until the end; see `Conversation`."""
        exchange = self._exchange
        exchange.first_byte_s = self._spoken_s = self._clock()
        outward = asyncio.create_task(self._pump(caller, self._provider, _by_caller))
        inward = asyncio.create_task(self._pump(self._provider, caller, _by_provider))
        watch = asyncio.create_task(self._watch(caller))
        payment = asyncio.create_task(self._pay())
        tasks = (outward, inward, watch, payment)
        try:
            await asyncio.wait([*tasks, self._told], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if caller.violation is None:
                raise
            # It was sent away: that it then went is no news.
            self._end(Ending(caller.violation, error=_violation(caller.violation), is_told=False))
        finally:
            self._is_over = True
            outward.cancel()
            watch.cancel()
            # Before it is charged: what would be set aside later would stay so for ever.
            payment.cancel()
            if not self._provider.is_listening:
                # In `receive` it ends by itself when the connection is closed; cancelled there, it would spoil that.
                inward.cancel()
            self._note()
        ending = self._ending(*tasks)
        if ending.error is not None:
            exchange.error_class, exchange.error_type = type(ending.error).__name__, ending.error.code
        self._provider.hang_up(ending.provider_code, ending.provider_reason)
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._tell(caller, ending)
        except asyncio.CancelledError:
            # The caller left while it was told goodbye: that changes nothing about how the session ended.
            return

    def _ending(self, *tasks: "asyncio.Task[Ending]") -> Ending:
        if self._told.done():
            return self._told.result()
        endings = [task.result() for task in tasks if task.done() and not task.cancelled()]
        return next((ending for ending in endings if ending.error is None), endings[0])

    async def _tell(self, caller: Duplex, ending: Ending) -> None:
        if ending.error is not None and ending.is_told:
            event = Message(self._error_event(ending.error), is_text=True)
            try:
                async with asyncio.timeout(TELL_TIMEOUT_S):
                    await caller.send(event)
            except (ConnectionError, TimeoutError):
                # The goodbye that follows finds out the same, and drops the connection.
                pass
        await caller.close(ending.code, ending.reason)

    async def _pump(self, source: Duplex, sink: Duplex, ended: Callable[[Closed], Ending]) -> Ending:
        """Relay one direction to the end of `source`."""
        is_read = source is self._provider
        while True:
            received = await source.receive()
            if isinstance(received, Closed):
                return ended(received)
            self._spoken_s = self._clock()
            if is_read and received.is_text:
                before = self._events.usage
                self._events.feed("", received.content)
                if self._events.usage is not before:
                    self._counted.set()
            if self._is_over:
                return _CALLER_GONE
            try:
                await sink.send(received)
            except ConnectionError:
                # How `sink` ended is heard in the other direction, behind the last that it said.
                await asyncio.sleep(CLOSE_TIMEOUT_S)
                return _CALLER_GONE if is_read else _by_provider(Closed(ABNORMAL, is_orderly=False))

    async def _pay(self) -> Ending:
        """Return when what was used so far cannot be paid any more; the relay waits for nothing of it."""
        while True:
            await self._counted.wait()
            self._counted.clear()
            self._note()
            try:
                await self._cover()
            except BudgetExceeded as error:
                return _because(REFUSED, error)
            except BudgetUnavailable as error:
                return _because(GOING_AWAY, error)

    async def _watch(self, caller: Duplex) -> Ending:
        """Return when the session has to end: too old, too quiet, or one side gives no sign of life."""
        limits, clock = self._limits, self._clock
        until_s, at_the_end = self._last_moment()
        heard: dict[int, int] = {}
        beat_s = clock() + limits.heartbeat_s
        while True:
            now = clock()
            if now >= until_s:
                return at_the_end
            if now >= self._spoken_s + limits.idle_s:
                return _because(GOING_AWAY, SessionIdle(f"Nothing was said for {limits.idle_s:g} seconds."))
            if now >= beat_s:
                for side, gone in ((caller, _CALLER_GONE), (self._provider, _by_provider(Closed(0, is_orderly=False)))):
                    if side.is_listening and heard.get(id(side)) == side.heard:
                        return gone
                    heard[id(side)] = side.heard
                    await side.ping()
                beat_s = now + limits.heartbeat_s
            await asyncio.sleep(max(0.0, min(until_s, self._spoken_s + limits.idle_s, beat_s) - now))

    def _last_moment(self) -> tuple[float, Ending]:
        """Return until when the session may last, and how it ends then."""
        limits, principal = self._limits, self._exchange.principal
        whole = limits.longest_s
        expires = [row.expires for row in (principal and principal.key, self._row) if row and row.expires is not None]
        left = min(expires) - time.time() if expires else whole
        if left < whole:
            return self._clock() + left, _because(REFUSED, Unauthenticated("The API key or the provider has expired."))
        told = SessionExpired(f"The session reached its maximum of {whole:g} seconds; connect again.")
        return self._clock() + whole, _because(GOING_AWAY, told)

    def _note(self) -> None:
        events, exchange = self._events, self._exchange
        if events.usage is not None:
            exchange.usage = events.usage
        exchange.model_served = events.model or exchange.model_served
