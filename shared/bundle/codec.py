"""Rows ↔ blobs: buckets of JSON lines, compressed, named by digest.

Order of reading is length, digest, declared size, decompression, length: nothing is decompressed before its digest
is known to be right, so a hostile mirror cannot reach the decompressor, let alone the parser.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from typing import Final

import msgspec
import zstandard

from shared.bundle.model import MAX_BLOB_BYTES, MAX_BLOBS, BlobRef, BundleRejected, Section

LEVEL: Final = 9
ROWS_PER_BUCKET: Final = 128
MAX_BUCKETS: Final = 1024
_ENTRY: Final = struct.Struct(">H32sII")


class _RowId(msgspec.Struct):
    id: str


_ROW_ID: Final = msgspec.json.Decoder(_RowId)


@dataclass(frozen=True, slots=True)
class EncodedSection:
    """A section ready to publish: its manifest entry, the blobs it needs, and content digests for the next time.

    `contents` maps the digest of a bucket's raw bytes to its blob, so that an unchanged bucket keeps its blob even
    when the compressor changes.
    """

    section: Section
    blobs: Mapping[str, bytes]
    contents: Mapping[str, BlobRef]


def bucket_of(row_id: str, buckets: int) -> int:
    """Return the bucket of a row: the first 32 bits of the SHA-256 of its id, modulo the number of buckets."""
    return int.from_bytes(_sha256(row_id.encode()).digest()[:4], "big") % buckets


def bucket_count(rows: int) -> int:
    """Return how many buckets a section of `rows` rows has: a power of two, about 128 rows each."""
    wanted = max(1, -(-rows // ROWS_PER_BUCKET))
    return min(MAX_BUCKETS, 1 << (wanted - 1).bit_length())


def _blob(raw: bytes) -> tuple[BlobRef, bytes]:
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(raw)
    return BlobRef(_sha256(packed).hexdigest(), len(packed), len(raw)), packed


def encode_section(rows: Mapping[str, bytes], known: Mapping[str, BlobRef] | None = None) -> EncodedSection:
    """Return the section made of `rows` (id → one line of JSON); `known` are `contents` of the previous one."""
    buckets = bucket_count(len(rows))
    filled: dict[int, list[bytes]] = {}
    for row_id in sorted(rows):
        filled.setdefault(bucket_of(row_id, buckets), []).append(rows[row_id])
    blobs: dict[str, bytes] = {}
    contents: dict[str, BlobRef] = {}
    entries = []
    for number in sorted(filled):
        raw = b"\n".join(filled[number])
        content = _sha256(raw).hexdigest()
        ref = (known or {}).get(content)
        if ref is None:
            ref, packed = _blob(raw)
            blobs[ref.d] = packed
        contents[content] = ref
        entries.append(_ENTRY.pack(number, bytes.fromhex(ref.d), ref.n, ref.raw))
    index, packed_index = _blob(b"".join(entries))
    blobs[index.d] = packed_index
    return EncodedSection(Section(len(rows), buckets, index), blobs, contents)


def open_blob(ref: BlobRef, packed: bytes) -> bytes:
    """Return the raw bytes of a blob; raises BundleRejected when they are not exactly what `ref` says."""
    if len(packed) != ref.n or ref.n > MAX_BLOB_BYTES:
        raise BundleRejected("too_large" if ref.n > MAX_BLOB_BYTES else "digest_mismatch", "wrong length of a blob")
    if _sha256(packed).hexdigest() != ref.d:
        raise BundleRejected("digest_mismatch", f"blob {ref.d[:12]}")
    try:
        # The library ignores `max_output_size` when the frame states a size, so the stated one is checked first.
        stated = zstandard.get_frame_parameters(packed).content_size
        if stated not in {ref.raw, zstandard.CONTENTSIZE_UNKNOWN}:
            raise BundleRejected("too_large", f"blob {ref.d[:12]} unpacks to another size")
        raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=ref.raw)
    except zstandard.ZstdError:
        raise BundleRejected("digest_mismatch", f"blob {ref.d[:12]} does not unpack") from None
    if len(raw) != ref.raw:
        raise BundleRejected("digest_mismatch", f"blob {ref.d[:12]} unpacks to another size")
    return raw


def decode_index(raw: bytes, buckets: int) -> dict[int, BlobRef]:
    """Return bucket number → blob of a section's index; raises BundleRejected when it is malformed."""
    if len(raw) % _ENTRY.size or len(raw) // _ENTRY.size > min(buckets, MAX_BLOBS):
        raise BundleRejected("schema_invalid", "a section index has a wrong length")
    index = {}
    for number, digest, packed_len, raw_len in _ENTRY.iter_unpack(raw):
        if number >= buckets:
            raise BundleRejected("schema_invalid", "a section index names a bucket that cannot be")
        index[number] = BlobRef(digest.hex(), packed_len, raw_len)
    return index


def split_rows(raw: bytes) -> dict[str, bytes]:
    """Return id → line of a bucket; a line without a readable id raises BundleRejected."""
    rows = {}
    for line in raw.split(b"\n"):
        if not line:
            continue
        try:
            rows[_ROW_ID.decode(line).id] = line
        except (msgspec.DecodeError, RecursionError):
            raise BundleRejected("schema_invalid", "a row has no readable id") from None
    return rows
