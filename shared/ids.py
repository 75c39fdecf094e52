"""Identifiers: UUIDv7 for rows, short slugs for what people type.

UUIDv7 sorts by time, so a primary-key index stays dense and `(ts, id)` can be a cursor. Made in Python because
PostgreSQL has `uuidv7()` only from 18.
"""

import os
import secrets
import time
from typing import Final
from uuid import UUID


class _Entropy:
    """Random bytes from the kernel, fetched many at a time: a system call for each id would cost more than the id."""

    _CHUNK: Final = 4096

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0
        # A forked child must not go on with the bytes of its parent, or both would make the same ids.
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Drop what is left."""
        self._bytes, self._at = b"", 0

    def take(self, count: int) -> bytes:
        """Return `count` random bytes, each given out once."""
        if self._at + count > len(self._bytes):
            self._bytes, self._at = os.urandom(self._CHUNK), 0
        start, self._at = self._at, self._at + count
        return self._bytes[start : self._at]


_ENTROPY: Final = _Entropy()

SLUG_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"


def uuid7() -> UUID:
    """Return a UUID of version 7: 48 bits of Unix milliseconds, 74 random bits.  Source: RFC 9562, section 5.7."""
    return uuid7_at(time.time_ns() // 1_000_000, _ENTROPY.take(10))


def uuid7_at(unix_ms: int, entropy: bytes) -> UUID:
    """Return the UUIDv7 of a time in Unix milliseconds and ten bytes of entropy."""
    rest = int.from_bytes(entropy[:10], "big") & ((1 << 74) - 1)
    high, low = rest >> 62, rest & ((1 << 62) - 1)
    return UUID(int=(unix_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def random_hex(count: int) -> str:
    """Return `count` random bytes as hex: for ids of traces and spans, not for secrets."""
    return _ENTROPY.take(count).hex()


def make_slug(prefix: str, length: int = 10) -> str:
    """Return a new random slug such as `pc-x7f3k9q2ma`; 5 bits of entropy a character."""
    return f"{prefix}-" + "".join(secrets.choice(SLUG_ALPHABET) for _ in range(length))


def parse_uuid(text: str) -> UUID | None:
    """Return the UUID that `text` spells, or None: a malformed id is answered like a missing row."""
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        return None
