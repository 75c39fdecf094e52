"""One section of a bundle as a table: buckets stay compressed, rows stay raw, until a request needs them.

Decoding everything at a swap would hold the event loop for tens of milliseconds; a bucket costs one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from shared.bundle.codec import bucket_of, decode_index, open_blob, split_rows
from shared.bundle.model import BlobRef, BundleRejected, Section
from shared.errors import Quarantined

T = TypeVar("T", bound=msgspec.Struct)

_REMEMBERED: Final = 20_000


class Table(Generic[T]):
    """Rows of one kind by id.  `get` returns None for an unknown id and raises Quarantined for an unusable row."""

    def __init__(self, name: str, kind: type[T], section: Section, blobs: Mapping[str, bytes]) -> None:
        """Read the index; `blobs` are the packed blobs by digest, already checked against it."""
        self.name = name
        self.section = section
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        index = open_blob(section.index, blobs[section.index.d])
        self._refs = decode_index(index, section.buckets)
        self._packed = {number: blobs[ref.d] for number, ref in self._refs.items()}
        self._rows: dict[int, dict[str, bytes]] = {}
        self._memo: dict[str, T | None] = {}

    def _bucket(self, number: int) -> dict[str, bytes]:
        rows = self._rows.get(number)
        if rows is None:
            ref = self._refs.get(number)
            rows = {} if ref is None else split_rows(open_blob(ref, self._packed[number]))
            self._rows[number] = rows
        return rows

    def get(self, row_id: str) -> T | None:
        """Return the row `row_id`."""
        try:
            return self._memo[row_id]
        except KeyError:
            pass
        line = self._bucket(bucket_of(row_id, self.section.buckets)).get(row_id)
        if line is None:
            # Unknown ids are not remembered: callers choose them, and could fill the memory with them.
            return None
        if len(self._memo) >= _REMEMBERED:
            self._memo.clear()
        row = self._memo[row_id] = self._decode(line)
        return row

    def _decode(self, line: bytes) -> T:
        try:
            return self._decoder.decode(line)
        except (msgspec.ValidationError, msgspec.DecodeError, RecursionError):
            raise Quarantined(f"A configuration object ({self.name}) that this request needs is not valid.") from None

    def raw(self) -> Iterator[tuple[str, bytes]]:
        """Yield every row's id and line; reads the whole section."""
        for number in self._refs:
            yield from self._bucket(number).items()

    def below(self, prefix: str) -> Iterator[T]:
        """Yield the usable rows whose id begins with `prefix`; reads the whole section."""
        for row_id, _ in self.raw():
            if row_id.startswith(prefix):
                try:
                    row = self.get(row_id)
                except Quarantined:
                    continue
                if row is not None:
                    yield row

    def faulty(self) -> list[str]:
        """Return the ids of rows that do not decode; reads the whole section."""
        found = []
        for row_id, line in self.raw():
            try:
                self._decoder.decode(line)
            except (msgspec.ValidationError, msgspec.DecodeError, RecursionError):
                found.append(row_id)
        return found


class EmptyTable(Table[T]):
    """A section that the bundle does not have."""

    def __init__(self, name: str, kind: type[T]) -> None:
        self.name = name
        self.section = Section(0, 1, BlobRef("", 0, 0))
        self._decoder = msgspec.json.Decoder(kind)
        self._refs = {}
        self._packed = {}
        self._rows = {}
        self._memo: dict[str, Any] = {}


def blob_refs(section: Section, index: bytes) -> list[BlobRef]:
    """Return the bucket blobs that a section needs, given its raw index."""
    refs = list(decode_index(index, section.buckets).values())
    if sum(ref.raw for ref in refs) > 1024 * 1024 * 1024:
        raise BundleRejected("too_large", "a section unpacks to more than 1 GiB")
    return refs
