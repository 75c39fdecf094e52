"""Requests to the services of one account: signed, sent only where its credential is bound to, and read.

Objects go out in slices that are held one at a time, so a file of any size takes the same memory.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from data_plane.core.types import Json, UpstreamRequest
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.target import Destination
from data_plane.providers._bulk import Bulk, Place, Slice, Store, Told
from data_plane.providers.base import ProviderFault
from data_plane.upstream.client import UpstreamResponse
from shared.errors import Forbidden, GatewayError, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from shared.hosts import host_of

MAX_TOLD_BYTES: Final = 16 * 1024 * 1024
MAX_FAULT_BYTES: Final = 1024 * 1024
#: As much as one slice of an upload holds; Google wants multiples of 256 KiB, Amazon at least 5 MiB.
SLICE_BYTES: Final = 8 * 1024 * 1024
TRIES: Final = 3
TIMEOUT_MS: Final = 120_000
#: What Google says while an upload goes on.
_GOES_ON: Final = 308
_DROPPED: Final = 499
_FOR_NOW: Final = frozenset({429, 500, 502, 503, 504})


class ProviderRefused(Exception):
    """A service answered with an error; it is normalised as every provider's."""

    def __init__(self, status: int, fault: ProviderFault) -> None:
        super().__init__(fault.message)
        # A redirect says that the bucket is elsewhere; nothing is followed.
        self.status = max(status, 400)
        self.fault = fault


def read_object(told: Told, provider: str) -> Json:
    """Return a JSON answer; raises UpstreamInvalid."""
    try:
        answer: Any = msgspec.json.decode(told.body or b"{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    return answer


@dataclass(frozen=True, slots=True)
class Wire:
    """The way to an account's services.  `pause_s` is the first wait before a slice is sent again."""

    bulk: Bulk
    store: Store
    destination: Destination
    deps: Deps
    timeout_ms: int | None = None
    pause_s: float = 0.5

    async def send(self, request: UpstreamRequest, *, is_storage: bool) -> UpstreamResponse:
        """Return a service's answer when its head is there; raises ProviderRefused for an error, and GatewayError."""
        destination = self.destination
        hosts = destination.credential.hosts
        if hosts and host_of(request.url) not in hosts:
            raise Forbidden(
                "The credential of this provider is not bound to the host of its files and batches: enter it again."
            )
        request = replace(request, timeout_ms=self.timeout_ms or TIMEOUT_MS)
        self.bulk.sign(request, destination.credential.key, destination.facts, is_storage)
        response = await self.deps.client.send(request)
        status = response.status
        if 200 <= status < 300 or (is_storage and status in {_GOES_ON, _DROPPED}):
            return response
        try:
            content = await response.read(MAX_FAULT_BYTES)
        finally:
            response.close()
        raise ProviderRefused(status, self._fault(status, content, is_storage=is_storage))

    def _fault(self, status: int, content: bytes, *, is_storage: bool) -> ProviderFault:
        if is_storage:
            return self.store.fault(status, content)
        try:
            body: Any = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            body = None
        return self.bulk.fault(status, body if isinstance(body, dict) else None)

    async def ask(self, request: UpstreamRequest, *, is_storage: bool) -> Told:
        """Return a service's whole answer; raises ProviderRefused and GatewayError."""
        response = await self.send(request, is_storage=is_storage)
        try:
            content = await response.read(MAX_TOLD_BYTES)
        finally:
            response.close()
        return Told(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    async def ask_again(self, make: Callable[[], UpstreamRequest]) -> Told:
        """Ask the store, a few times where it fails for now: `make` makes the same request anew."""
        for attempt in range(TRIES):
            try:
                return await self.ask(make(), is_storage=True)
            except (UpstreamUnreachable, UpstreamTimeout):
                if attempt == TRIES - 1:
                    raise
            except ProviderRefused as refused:
                if attempt == TRIES - 1 or refused.status not in _FOR_NOW:
                    raise
            await asyncio.sleep(self.pause_s * 2**attempt)
        raise UpstreamInvalid("The store did not answer.")  # not reached: the last try returns or raises


#: Uploads that are being dropped while nobody waits for it.
_dropping: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class Sending:
    """An object on its way to the store; it is there once `finish` returns, and `drop` leaves nothing of it."""

    wire: Wire
    place: Place
    purpose: Callable[[], str]
    size: int = 0
    _held: bytearray = field(default_factory=bytearray)
    _upload: str = ""
    _receipts: list[str] = field(default_factory=list)

    async def write(self, content: bytes) -> None:
        """Add some of the content."""
        self._held += content
        # The last slice is told from the others, so one is held back until more comes.
        while len(self._held) > SLICE_BYTES:
            content = bytes(self._held[:SLICE_BYTES])
            del self._held[:SLICE_BYTES]
            await self._send(content, total=None)

    async def _send(self, content: bytes, *, total: int | None) -> None:
        wire, store = self.wire, self.wire.store
        if not self._upload:
            self._upload = store.begun(await wire.ask(store.begin(self.place, self.purpose()), is_storage=True))
        part = Slice(len(self._receipts) + 1, self.size, content, total)
        told = await wire.ask_again(lambda: store.send(self.place, self._upload, part))
        self._receipts.append(store.sent(told, part))
        self.size += len(content)

    async def finish(self) -> int:
        """Send the rest; return the size of the object in bytes."""
        content = bytes(self._held)
        self._held.clear()
        await self._send(content, total=self.size + len(content))
        store = self.wire.store
        request = store.finish(self.place, self._upload, self._receipts)
        if request is not None:
            store.finished(await self.wire.ask(request, is_storage=True))
        return self.size

    async def drop(self) -> None:
        """Have the store forget what was sent, also when the caller does not wait any more."""
        if not self._upload:
            return
        task = asyncio.create_task(self._abort())
        _dropping.add(task)
        task.add_done_callback(_dropping.discard)
        await asyncio.shield(task)

    async def _abort(self) -> None:
        request = self.wire.store.abort(self.place, self._upload)
        try:
            await self.wire.ask(request, is_storage=True)
        except (GatewayError, ProviderRefused):
            # Stores forget unfinished uploads after a while; the caller is told why the upload failed, not this.
            return
