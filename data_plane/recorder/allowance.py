"""How much of running streams may be kept for their records, all together?

Each stream keeps a part of its answer until it ends, so a thousand of them could hold half a gigabyte.  Beyond the
allowance a stream keeps no more; its record then says that the body was dropped.
"""

from typing import Final

MAX_KEPT_BYTES: Final = 64 * 1024 * 1024


class Allowance:
    """Bytes that may still be kept; used on one event loop only."""

    def __init__(self, most_bytes: int = MAX_KEPT_BYTES) -> None:
        self._left = most_bytes

    def take(self, count: int) -> bool:
        """Take `count` bytes if there are as many left; return whether they were taken."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        self._left += count
