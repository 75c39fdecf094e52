"""The content of a provider's file on its way to a caller: fetched from where the provider says, as lines of JSON.

Parts are Avro or lines of JSON, which their first bytes tell.  Results come in OpenAI's words, all else as it is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import orjson

from data_plane.core.types import CallFacts, Json, UpstreamBody
from data_plane.pipeline.bulk.lines import LineSplitter, decoded_line, result_line, result_too_long
from data_plane.pipeline.bulk.relay import JSON_LINES
from data_plane.pipeline.bulk.wire import ProviderRefused
from data_plane.providers._avro import MAGIC, AvroSplitter
from data_plane.providers._bulk import Result
from data_plane.providers._hosted import Files
from shared.errors import GatewayError, UpstreamBroken, UpstreamInvalid

#: Records between two turns of others.
RECORDS_IN_A_ROW: Final = 16


class _Lines:
    """Cuts a part that is lines of JSON into records."""

    def __init__(self) -> None:
        self._splitter = LineSplitter(result_too_long)

    def feed(self, piece: bytes) -> Iterator[Json]:
        """Yield the records that `piece` completes."""
        yield from self._read(self._splitter.feed(piece))

    def close(self) -> Iterator[Json]:
        """Yield the last one."""
        yield from self._read(self._splitter.close())

    def _read(self, lines: list[tuple[int, bytes]]) -> Iterator[Json]:
        for _, line in lines:
            if line.strip():
                record = decoded_line(line)
                if record is None:
                    raise UpstreamInvalid("The provider's file cannot be read: it has a line that is no JSON object.")
                yield record


class _Records:
    """Cuts a part into records, whatever it is made of."""

    def __init__(self) -> None:
        self._first = b""
        self._avro: AvroSplitter | None = None
        self._lines: _Lines | None = None

    def feed(self, piece: bytes) -> Iterator[Json]:
        """Yield the records that `piece` completes."""
        if self._avro is None and self._lines is None:
            self._first += piece
            if len(self._first) < len(MAGIC):
                return
            piece, self._first = self._first, b""
            if piece.startswith(MAGIC):
                self._avro = AvroSplitter()
            else:
                self._lines = _Lines()
        yield from self._avro.feed(piece) if self._avro is not None else self._fed(piece)

    def _fed(self, piece: bytes) -> Iterator[Json]:
        return self._lines.feed(piece) if self._lines is not None else iter(())

    def close(self) -> Iterator[Json]:
        """Yield what is left; raises UpstreamInvalid when there is more to come."""
        if self._avro is not None:
            self._avro.close()
        elif self._lines is not None:
            yield from self._lines.close()
        elif self._first.strip():
            raise UpstreamInvalid("The provider's file cannot be read.")


class FetchedBody:
    """A body as a provider's answers have one, of one or several parts; the first is open before it is made.

    `files` says what a record of the results is; None: the records are told as they are.
    """

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[UpstreamBody]],
        first: UpstreamBody,
        others: Sequence[str],
        *,
        files: Files | None,
        facts: CallFacts,
    ) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": JSON_LINES}
        self._fetch = fetch
        self._current = first
        self._others = others
        self._files = files
        self._facts = facts
        self._number = 0

    async def read(self, limit: int) -> bytes:
        """Return the whole content; raises UpstreamInvalid beyond `limit` bytes."""
        content = bytearray()
        async for piece in self.chunks():
            content += piece
            if len(content) > limit:
                raise UpstreamInvalid("The provider's answer is too large.")
        return bytes(content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the lines as they arrive; raises GatewayError when they break off."""
        for number in range(len(self._others) + 1):
            if number:
                await self._open(self._others[number - 1])
            records = _Records()
            async for piece in self._current.chunks():
                async for told in self._told(records.feed(piece)):
                    yield told
            async for told in self._told(records.close()):
                yield told

    async def _told(self, records: Iterator[Json]) -> AsyncIterator[bytes]:
        """Yield the lines of records; vectors are long, and others must have their turn between them."""
        lines: list[bytes] = []
        for record in records:
            lines.append(self._line(record))
            if len(lines) == RECORDS_IN_A_ROW:
                yield b"".join(lines)
                lines.clear()
                await asyncio.sleep(0)
        if lines:
            yield b"".join(lines)

    def _line(self, record: Json) -> bytes:
        self._number += 1
        try:
            if self._files is None:
                return orjson.dumps(record) + b"\n"
            return result_line(self._number, self._files.result(record, self._facts))
        except GatewayError as error:
            known = record.get("custom_id")
            return result_line(self._number, Result(known if isinstance(known, str) else "", error=error.message))
        except (TypeError, RecursionError):
            return result_line(self._number, Result("", error="This result cannot be read."))

    async def _open(self, url: str) -> None:
        self._current.close()
        try:
            self._current = await self._fetch(url)
        except ProviderRefused:
            raise UpstreamBroken("A part of the provider's file cannot be read.") from None

    def close(self) -> None:
        """Drop the connection, unless the content has been read to its end."""
        self._current.close()
