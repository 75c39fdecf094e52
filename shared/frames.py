"""Frames: how records lie in a gateway's spool and travel to the control plane.

A frame is `u32 length | u32 crc32c | u64 seq | u8 kind | payload`, big-endian; `length` is the payload's, the CRC
covers seq, kind and payload.  The same bytes are stored, uploaded and checked, so a record that was damaged anywhere
is found by whoever reads it next.  Kinds may be added; a reader skips kinds that it does not know.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import google_crc32c

RECORD: Final = 1
PAYLOAD: Final = 2
DROPPED: Final = 3

HEADER: Final = struct.Struct(">IIQB")
_BODY: Final = struct.Struct(">QB")
_CRC_FROM: Final = 8
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024


class Frame(NamedTuple):
    """One frame; `end` is the offset behind it in the bytes it was read from."""

    seq: int
    kind: int
    payload: bytes
    end: int


class FrameBroken(ValueError):
    """The bytes at `offset` are no whole frame: torn at the end, or damaged."""

    def __init__(self, offset: int, *, torn: bool) -> None:
        super().__init__(f"no whole frame at offset {offset}")
        self.offset = offset
        self.torn = torn


def crc32c(content: bytes) -> int:
    """Return the CRC-32C of `content`."""
    return int(google_crc32c.value(content))


def pack_frame(seq: int, kind: int, payload: bytes) -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(len(payload), crc32c(_BODY.pack(seq, kind) + payload), seq, kind) + payload


def read_frame(content: bytes | memoryview, offset: int) -> Frame:
    """Return the frame at `offset`; raises FrameBroken (`torn` when the bytes merely end too soon)."""
    if offset + HEADER.size > len(content):
        raise FrameBroken(offset, torn=True)
    length, crc, seq, kind = HEADER.unpack_from(content, offset)
    if length > MAX_PAYLOAD_BYTES:
        raise FrameBroken(offset, torn=False)
    start = offset + HEADER.size
    end = start + length
    if end > len(content):
        raise FrameBroken(offset, torn=True)
    # Seq, kind and payload lie side by side behind length and CRC, so the CRC is that of one slice.
    if crc32c(bytes(content[offset + _CRC_FROM : end])) != crc:
        raise FrameBroken(offset, torn=False)
    return Frame(seq, kind, bytes(content[start:end]), end)


def iter_frames(content: bytes, offset: int = 0) -> Iterator[Frame]:
    """Yield the frames of `content` from `offset`; raises FrameBroken at the first that is not whole."""
    while offset < len(content):
        frame = read_frame(content, offset)
        yield frame
        offset = frame.end


def next_frame_offset(content: bytes, offset: int, *, after_seq: int) -> int | None:
    """Return the offset of the next whole frame behind a damaged one, or None; its seq must be above `after_seq`."""
    for candidate in range(offset + 1, len(content) - HEADER.size + 1):
        length, _, seq, kind = HEADER.unpack_from(content, candidate)
        if length > MAX_PAYLOAD_BYTES or seq <= after_seq or kind not in {RECORD, PAYLOAD, DROPPED}:
            continue
        try:
            read_frame(content, candidate)
        except FrameBroken:
            continue
        return candidate
    return None
