import json

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shared.bundle.codec import bucket_count, bucket_of, decode_index, encode_section, open_blob, split_rows
from shared.bundle.model import BlobRef, BundleRejected
from shared.bundle.trust import sha256

row_ids = st.text(min_size=1, max_size=12)


def lines(ids):
    return {row_id: json.dumps({"id": row_id, "v": 1}).encode() for row_id in ids}


def read_back(encoded):
    index = decode_index(
        open_blob(encoded.section.index, encoded.blobs[encoded.section.index.d]), encoded.section.buckets
    )
    rows = {}
    for ref in index.values():
        rows.update(split_rows(open_blob(ref, encoded.blobs[ref.d])))
    return rows


@given(st.sets(row_ids, max_size=300))
def test_a_section_comes_back_as_it_was(ids):
    assert read_back(encode_section(lines(ids))) == lines(ids)


def test_a_row_lies_in_the_bucket_that_its_id_names():
    encoded = encode_section(lines(str(number) for number in range(2000)))
    index = decode_index(
        open_blob(encoded.section.index, encoded.blobs[encoded.section.index.d]), encoded.section.buckets
    )
    for number, ref in index.items():
        assert {
            bucket_of(row_id, encoded.section.buckets) for row_id in split_rows(open_blob(ref, encoded.blobs[ref.d]))
        } == {number}


def test_one_changed_row_costs_one_bucket_and_the_index():
    rows = lines(str(number) for number in range(2000))
    first = encode_section(rows)
    rows["7"] = b'{"id":"7","v":2}'
    assert len(encode_section(rows, first.contents).blobs) == 2


@pytest.mark.parametrize(("rows", "buckets"), [(0, 1), (1, 1), (128, 1), (129, 2), (50_000, 512), (10**7, 1024)])
def test_the_number_of_buckets_is_a_bounded_power_of_two(rows, buckets):
    assert bucket_count(rows) == buckets


def blob(raw):
    packed = zstandard.compress(raw)
    return BlobRef(sha256(packed), len(packed), len(raw)), packed


def test_a_changed_byte_is_refused_before_anything_is_unpacked(monkeypatch):
    ref, packed = blob(b"x" * 100)
    monkeypatch.setattr(zstandard, "ZstdDecompressor", None)
    with pytest.raises(BundleRejected, match="digest_mismatch"):
        open_blob(ref, packed[:-1] + bytes([packed[-1] ^ 1]))


def test_a_blob_that_unpacks_to_more_than_it_says_is_refused():
    ref, packed = blob(b"\0" * 50_000_000)
    with pytest.raises(BundleRejected):
        open_blob(BlobRef(ref.d, ref.n, 1000), packed)
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 50_000_000)
    with pytest.raises(BundleRejected):
        open_blob(BlobRef(sha256(streamed), len(streamed), 1000), streamed)


@pytest.mark.parametrize("raw", [b"x", b"\0" * 41, b"\xff\xff" + b"\0" * 40])
def test_a_malformed_index_is_refused(raw):
    with pytest.raises(BundleRejected, match="schema_invalid"):
        decode_index(raw, 4)


@pytest.mark.parametrize("raw", [b"x", b"{}", b'{"id":7}', b"[" * 200_000])
def test_a_row_without_an_id_is_refused(raw):
    with pytest.raises(BundleRejected, match="schema_invalid"):
        split_rows(raw)


def test_the_manifest_entry_counts_rows():
    encoded = encode_section(lines("abc"))
    assert (encoded.section.rows, msgspec.to_builtins(encoded.section)["buckets"]) == (3, 1)
