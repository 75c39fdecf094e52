import itertools
import struct
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.providers._avro import MAGIC, MAX_BLOCK_BYTES, AvroSplitter
from shared.errors import UpstreamInvalid

SYNC = bytes(range(16))
VECTOR = {"type": "array", "items": "float"}
EMBEDDED = {
    "type": "record", "name": "row", "fields": [
        {"name": "text", "type": "string"}, {"name": "custom_id", "type": ["null", "string"]},
        {"name": "embeddings", "type": {"type": "record", "name": "kinds", "fields": [
            {"name": "float", "type": ["null", VECTOR]}, {"name": "int8", "type": ["null", {"type": "array", "items": "int"}]},
        ]}},
    ],
}  # fmt: skip


def number(value):
    """Return a number as Avro writes it."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def held(content):
    return number(len(content)) + content


def written(schema, value):
    """Return a value as Avro writes it; a union has null first."""
    if isinstance(schema, list):
        return number(0) if value is None else number(1) + written(schema[1], value)
    kind = schema if isinstance(schema, str) else schema["type"]
    simple = {
        "null": lambda: b"", "boolean": lambda: bytes([value]), "int": lambda: number(value), "long": lambda: number(value),
        "float": lambda: struct.pack("<f", value), "double": lambda: struct.pack("<d", value),
        "string": lambda: held(value.encode()), "bytes": lambda: held(bytes(value)),
        "fixed": lambda: bytes(value), "enum": lambda: number(schema["symbols"].index(value)),
    }  # fmt: skip
    if kind in simple:
        return simple[kind]()
    if kind == "array":
        items = b"".join(written(schema["items"], item) for item in value)
        return (number(len(value)) + items if value else b"") + number(0)
    if kind == "map":
        items = b"".join(held(key.encode()) + written(schema["values"], item) for key, item in value.items())
        return (number(-len(value)) + number(len(items)) + items if value else b"") + number(0)
    return b"".join(written(field["type"], value[field["name"]]) for field in schema["fields"])


def avro(schema, rows, codec=b"null", *, in_block=2):
    """Return a file of Avro."""
    meta = {b"avro.schema": orjson.dumps(schema), b"avro.codec": codec}
    out = (
        MAGIC + number(len(meta)) + b"".join(held(key) + held(value) for key, value in meta.items()) + number(0) + SYNC
    )
    for first in range(0, len(rows), in_block):
        block = rows[first : first + in_block]
        content = b"".join(written(schema, row) for row in block)
        if codec == b"deflate":
            packing = zlib.compressobj(wbits=-15)
            content = packing.compress(content) + packing.flush()
        out += number(len(block)) + held(content) + SYNC
    return out


def read(content, cuts=()):
    splitter = AvroSplitter()
    bounds = [0, *sorted(cuts), len(content)]
    found = [record for a, b in itertools.pairwise(bounds) for record in splitter.feed(content[a:b])]
    splitter.close()
    return found


ROWS = [
    {"text": f"té{n}", "custom_id": None if n % 2 else f"c{n}", "embeddings": {"float": [n + 0.5] * 3, "int8": [-n, n, 300]}}
    for n in range(5)
]  # fmt: skip
FILE = avro(EMBEDDED, ROWS)


@given(st.lists(st.integers(0, len(FILE)), max_size=8))
def test_records_are_read_wherever_the_file_is_cut(cuts):
    assert read(FILE, cuts) == ROWS


@pytest.mark.parametrize("in_block", [1, 3, 9])
def test_packed_blocks_of_any_size_are_read(in_block):
    assert read(avro(EMBEDDED, ROWS, b"deflate", in_block=in_block)) == ROWS


def test_every_type_is_read():
    fields = {
        "a": "boolean", "b": "long", "c": "double", "d": "bytes", "e": {"type": "map", "values": "int"},
        "f": {"type": "enum", "name": "E", "symbols": ["x", "y"]}, "g": {"type": "fixed", "name": "F", "size": 2}, "h": "null",
        "i": {"type": "array", "items": "string"}, "k": {"type": "string"},
    }  # fmt: skip
    schema = {"type": "record", "name": "r", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}
    row = {"a": True, "b": -(2**40), "c": 0.1, "d": [0, 255], "e": {"k": 1, "l": -2}, "f": "y", "g": [1, 2], "h": None, "i": ["é", ""], "k": "s"}  # fmt: skip
    rows = [row, {**row, "e": {}, "i": []}]
    assert read(avro(schema, rows, in_block=1)) == rows


def test_a_type_may_be_named_where_it_is_used_again():
    kinds = {"type": "fixed", "name": "F", "namespace": "n", "size": 1}
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": kinds}, {"name": "b", "type": "n.F"}]}
    content = avro({**schema, "fields": []}, [])
    meta = content.replace(held(orjson.dumps({**schema, "fields": []})), held(orjson.dumps(schema)))
    assert read(meta + number(1) + held(b"\x01\x02") + SYNC) == [{"a": [1], "b": [2]}]


def header(schema, codec=b"null"):
    return avro(schema, [], codec)


@pytest.mark.parametrize("content", [
    b"", b"PAR1 this is something else", MAGIC, FILE[:-1], FILE[:40], FILE + b"\x02", header("string"), header({"type": "record", "fields": 7}),
    header({"type": "record", "fields": [{"name": "a", "type": "nonesuch"}]}), header(EMBEDDED, b"snappy"),
    header({"type": "record", "fields": [{"name": "a", "type": {"type": ["record"]}}]}), header(7),
    FILE[:-16] + bytes(16), header(EMBEDDED) + number(1) + number(MAX_BLOCK_BYTES + 1), header(EMBEDDED) + number(-1) + number(0) + SYNC,
    header(EMBEDDED) + number(9) + held(b"\x00") + SYNC, header(EMBEDDED) + number(1) + held(b"\x02") + SYNC,
    header(EMBEDDED, b"deflate") + number(1) + held(b"\xff\xff\xff") + SYNC, header(EMBEDDED) + b"\xff" * 20,
    MAGIC + b"\xff" * 12, MAGIC + number(1) + held(b"avro.schema") + held(b"{") + number(0) + SYNC,
])  # fmt: skip
def test_what_is_no_such_file_is_refused(content):
    with pytest.raises(UpstreamInvalid, match="cannot be read"):
        read(content)


def test_a_block_that_unpacks_to_more_than_fits_is_refused():
    packing = zlib.compressobj(9, wbits=-15)
    bomb = packing.compress(bytes(MAX_BLOCK_BYTES + 1)) + packing.flush()
    with pytest.raises(UpstreamInvalid, match="too large"):
        read(header(EMBEDDED, b"deflate") + number(1) + held(bomb) + SYNC)


def test_a_schema_that_is_nested_without_end_is_refused():
    kind = "int"
    for _ in range(40):
        kind = {"type": "array", "items": kind}
    with pytest.raises(UpstreamInvalid, match="nested"):
        read(header({"type": "record", "fields": [{"name": "a", "type": kind}]}))


@given(st.integers(0, len(FILE) - 1), st.binary(min_size=1, max_size=9))
def test_whatever_is_in_a_file_is_read_or_refused(at, junk):
    try:
        read(FILE[:at] + junk + FILE[at + len(junk) :])
    except UpstreamInvalid as error:
        assert "cannot be read" in error.message
