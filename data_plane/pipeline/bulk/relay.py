"""Content on its way from a store to a caller: as it is, or with each line in OpenAI's words."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Self

from data_plane.core.types import CallFacts, UpstreamBody
from data_plane.pipeline.bulk.lines import LineSplitter, decode_line, result_too_long
from data_plane.pipeline.bulk.wire import ProviderRefused, Wire
from data_plane.providers._bulk import Batches, Place
from shared.errors import UpstreamBroken, UpstreamInvalid

JSON_LINES: Final = "application/jsonl"


class ResultBody:
    """A body as a provider's answers have one, of one or several objects; the first is opened before it is made."""

    def __init__(self, wire: Wire, first: UpstreamBody, others: Sequence[Place], headers: dict[str, str]) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = headers
        self._wire = wire
        self._current = first
        self._others = others
        self._batches: Batches | None = None
        self._facts: CallFacts | None = None

    @classmethod
    async def of_object(cls, wire: Wire, place: Place) -> Self:
        """Return the content of an object as it is."""
        response = await wire.send(wire.store.read(place), is_storage=True)
        headers = {"content-type": "application/octet-stream"}
        length = response.headers.get("content-length", "")
        if length and not response.headers.get("content-encoding"):
            headers["content-length"] = length
        return cls(wire, response, (), headers)

    @classmethod
    async def of_results(cls, wire: Wire, batches: Batches, places: Sequence[Place], facts: CallFacts) -> Self:
        """Return the results in several objects, one behind the other, in OpenAI's words."""
        response = await wire.send(wire.store.read(places[0]), is_storage=True)
        body = cls(wire, response, places[1:], {"content-type": JSON_LINES})
        body._batches, body._facts = batches, facts
        return body

    async def read(self, limit: int) -> bytes:
        """Return the whole content; raises UpstreamInvalid beyond `limit` bytes."""
        content = bytearray()
        async for piece in self.chunks():
            content += piece
            if len(content) > limit:
                raise UpstreamInvalid("The provider's answer is too large.")
        return bytes(content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content as it arrives; raises UpstreamBroken when it breaks off."""
        if self._batches is None or self._facts is None:
            async for piece in self._current.chunks():
                yield piece
            return
        splitter = LineSplitter(result_too_long)
        for number in range(len(self._others) + 1):
            if number:
                await self._open(self._others[number - 1])
            async for piece in self._current.chunks():
                if told := self._decoded(splitter.feed(piece)):
                    yield told
                # Translating takes a while: others must have their turn, however fast the store is.
                await asyncio.sleep(0)
            if told := self._decoded(splitter.close()):
                yield told

    def _decoded(self, lines: list[tuple[int, bytes]]) -> bytes:
        batches, facts = self._batches, self._facts
        assert batches is not None and facts is not None  # noqa: S101, PT018 -- `chunks` looked, for the type checker
        return b"".join(decode_line(number, line, batches, facts) for number, line in lines)

    async def _open(self, place: Place) -> None:
        self._current.close()
        try:
            self._current = await self._wire.send(self._wire.store.read(place), is_storage=True)
        except ProviderRefused:
            raise UpstreamBroken("A file of the results cannot be read.") from None

    def close(self) -> None:
        """Drop the connection, unless the content has been read to its end."""
        self._current.close()
