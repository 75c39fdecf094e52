"""How are Avro's files read?  Block by block while they arrive, each record a JSON object.

Schemas stand in the file.  What no file of embeddings has (logical types, other packings than `deflate`) is refused.
Source: https://avro.apache.org/docs/current/specification/#object-container-files
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from shared.errors import UpstreamInvalid

MAGIC: Final = b"Obj\x01"
SYNC_BYTES: Final = 16
MAX_HEADER_BYTES: Final = 1024 * 1024
MAX_BLOCK_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 32
#: A reader returns (value, where the next one begins); `Short` when the bytes end before.
Reader = Callable[[bytes, int], tuple[Any, int]]
_PACKED: Final[Mapping[str, tuple[str, int]]] = {"float": ("f", 4), "double": ("d", 8)}


class Short(Exception):
    """The bytes end before the value does."""


def _refuse(what: str) -> UpstreamInvalid:
    return UpstreamInvalid(f"The provider's results cannot be read: {what}.")


def _long(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise _refuse("a number is too long")
    raise Short


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _long(data, at)
    if length < 0:
        raise _refuse("a length is negative")
    if at + length > len(data):
        raise Short
    return data[at : at + length], at + length


def _string(data: bytes, at: int) -> tuple[str, int]:
    content, at = _bytes(data, at)
    return content.decode("utf-8", "replace"), at


def _numbers(data: bytes, at: int) -> tuple[list[int], int]:
    content, at = _bytes(data, at)
    return list(content), at


def _boolean(data: bytes, at: int) -> tuple[bool, int]:
    if at >= len(data):
        raise Short
    return data[at] == 1, at + 1


def _number(kind: str) -> Reader:
    letter, size = _PACKED[kind]
    packed = struct.Struct(f"<{letter}")

    def read(data: bytes, at: int) -> tuple[float, int]:
        if at + size > len(data):
            raise Short
        return packed.unpack_from(data, at)[0], at + size

    return read


def _fixed(size: int) -> Reader:
    def read(data: bytes, at: int) -> tuple[list[int], int]:
        if at + size > len(data):
            raise Short
        return list(data[at : at + size]), at + size

    return read


def _blocks(data: bytes, at: int, read: Callable[[int, int], int]) -> int:
    """Go through the blocks of an array or a map; `read` reads so many items from there and returns where they end."""
    while True:
        count, at = _long(data, at)
        if count < 0:
            count = -count
            _, at = _long(data, at)
        if count == 0:
            return at
        if count > len(data):
            # Every item has a byte at least, save those of types without content, which nobody counts in millions.
            raise Short
        at = read(count, at)


def _array(items: object, read_item: Reader) -> Reader:
    packed = _PACKED.get(items) if isinstance(items, str) else None

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        found: list[Any] = []

        def take(count: int, start: int) -> int:
            if packed is not None:
                end = start + count * packed[1]
                if end > len(data):
                    raise Short
                found.extend(struct.unpack_from(f"<{count}{packed[0]}", data, start))
                return end
            for _ in range(count):
                item, start = read_item(data, start)
                found.append(item)
            return start

        return found, _blocks(data, at, take)

    return read


def _map(read_value: Reader) -> Reader:
    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}

        def take(count: int, start: int) -> int:
            for _ in range(count):
                key, start = _string(data, start)
                found[key], start = read_value(data, start)
            return start

        return found, _blocks(data, at, take)

    return read


def _union(readers: list[Reader]) -> Reader:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        index, at = _long(data, at)
        if not 0 <= index < len(readers):
            raise _refuse("a value is of no known type")
        return readers[index](data, at)

    return read


def _enum(symbols: list[Any]) -> Reader:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        index, at = _long(data, at)
        if not 0 <= index < len(symbols):
            raise _refuse("a value is of no known type")
        return symbols[index], at

    return read


def _record(fields: list[tuple[str, Reader]]) -> Reader:
    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        found = {}
        for name, reader in fields:
            found[name], at = reader(data, at)
        return found, at

    return read


_SIMPLE: Final[Mapping[str, Reader]] = {
    "null": lambda _data, at: (None, at), "boolean": _boolean, "int": _long, "long": _long, "string": _string,
    "bytes": _numbers,
    "float": _number("float"), "double": _number("double"),
}  # fmt: skip


class _Schema:
    """Makes readers of schemas; named types are known from where they are first written."""

    def __init__(self) -> None:
        self._named: dict[str, Reader] = {}

    def reader(self, schema: Any, depth: int = 0) -> Reader:
        if depth > MAX_DEPTH:
            raise _refuse("its schema is nested too deeply")
        if isinstance(schema, str):
            found = _SIMPLE.get(schema) or self._named.get(schema)
            if found is None:
                raise _refuse("its schema has an unknown type")
            return found
        if isinstance(schema, list):
            return _union([self.reader(item, depth + 1) for item in schema])
        if not isinstance(schema, dict):
            raise _refuse("its schema is none")
        return self._of(schema, depth)

    def _of(self, schema: dict[str, Any], depth: int) -> Reader:
        kind = schema.get("type")
        if kind == "array":
            return _array(schema.get("items"), self.reader(schema.get("items"), depth + 1))
        if kind == "map":
            return _map(self.reader(schema.get("values"), depth + 1))
        if not isinstance(kind, str) or kind not in {"record", "enum", "fixed"}:
            return self.reader(kind, depth + 1)
        made = self._composed(kind, schema, depth)
        for name in (schema.get("name"), f"{schema.get('namespace')}.{schema.get('name')}"):
            if isinstance(name, str):
                self._named[name] = made
        return made

    def _composed(self, kind: object, schema: dict[str, Any], depth: int) -> Reader:
        if kind == "enum":
            symbols = schema.get("symbols")
            return _enum(symbols if isinstance(symbols, list) else [])
        if kind == "fixed":
            size = schema.get("size")
            return _fixed(size if type(size) is int and 0 < size < MAX_BLOCK_BYTES else 1)
        fields = schema.get("fields")
        if not isinstance(fields, list) or not all(isinstance(each, dict) for each in fields):
            raise _refuse("its schema is none")
        return _record([(str(each.get("name")), self.reader(each.get("type"), depth + 1)) for each in fields])


class AvroSplitter:
    """Cuts a file into its records while it arrives; what is none raises UpstreamInvalid."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._read: Reader | None = None
        self._is_packed = False
        self._sync = b""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Yield the records of the blocks that `piece` completes."""
        self._held += piece
        if self._read is None:
            self._begin()
        while self._read is not None and (block := self._block()) is not None:
            count, content = block
            at = 0
            for _ in range(count):
                try:
                    record, at = self._read(content, at)
                except Short:
                    raise _refuse("a block is shorter than it says") from None
                yield record

    def close(self) -> None:
        """Raise when the file ended in the middle."""
        if self._held or self._read is None:
            raise _refuse("they break off")

    def _begin(self) -> None:
        held = bytes(self._held[:MAX_HEADER_BYTES])
        if held[: len(MAGIC)] != MAGIC[: len(held)]:
            raise _refuse("they are in no known form")
        try:
            meta, at = _map(_bytes)(held, len(MAGIC))
        except Short:
            meta, at = {}, len(held) + 1
        if at + SYNC_BYTES > len(held):
            if len(held) == MAX_HEADER_BYTES:
                raise _refuse("their head is too long")
            return
        codec = meta.get("avro.codec", b"null")
        if codec not in {b"null", b"deflate", b""}:
            raise _refuse("they are packed in an unknown way")
        self._is_packed = codec == b"deflate"
        self._sync = held[at : at + SYNC_BYTES]
        try:
            schema = msgspec.json.decode(meta.get("avro.schema", b""))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise _refuse("their schema is no JSON") from None
        self._read = _Schema().reader(schema)
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise _refuse("they are no records")
        del self._held[: at + SYNC_BYTES]

    def _block(self) -> tuple[int, bytes] | None:
        """Return (how many records, their bytes) of the next block, None while it is not whole."""
        head = bytes(self._held[:20])
        try:
            count, at = _long(head, 0)
            size, at = _long(head, at)
        except Short:
            return None
        if count < 0 or not 0 <= size <= MAX_BLOCK_BYTES:
            raise _refuse("a block is too large")
        end = at + size
        if len(self._held) < end + SYNC_BYTES:
            return None
        content, sync = bytes(self._held[at:end]), bytes(self._held[end : end + SYNC_BYTES])
        del self._held[: end + SYNC_BYTES]
        if sync != self._sync:
            raise _refuse("a block ends elsewhere")
        content = _unpacked(content) if self._is_packed else content
        if count > len(content):
            raise _refuse("a block is shorter than it says")
        return count, content


def _unpacked(content: bytes) -> bytes:
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        told = unpacking.decompress(content, MAX_BLOCK_BYTES + 1)
    except zlib.error:
        raise _refuse("a block cannot be unpacked") from None
    if len(told) > MAX_BLOCK_BYTES:
        raise _refuse("a block is too large")
    return told
