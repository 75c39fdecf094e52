"""Among how many gateways is this one?  What the control plane says, and what is kept of it while it is away.

A number that grows holds at once.  One that falls is believed only when it was told for a while: just after an outage
of the control plane, those that it has not heard of again yet are missing in it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

#: More than the time between two reports of every other gateway.
BELIEVE_S: Final = 90.0
_MOST_DIGITS: Final = 9

log = structlog.get_logger(module=__name__)


class Fleet:
    """The number of gateways, in a file of its own; `count` is 0 while nobody has told it."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lower: tuple[float, int] | None = None
        self.count = self._stored()

    def _stored(self) -> int:
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return 0
        return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0

    def told(self, count: int) -> bool:
        """Take what the control plane says; return whether `count` is another one now."""
        if count < 1:
            return False
        if count >= self.count:
            self._lower = None
            return self._take(count)
        since, highest = self._lower or (self._clock(), count)
        self._lower = (since, max(highest, count))
        return self._clock() - since >= BELIEVE_S and self._take(self._lower[1])

    def unheard(self) -> None:
        """Note that the control plane did not answer: a lower number has to be told anew."""
        self._lower = None

    def _take(self, count: int) -> bool:
        self._lower = None
        is_new, self.count = count != self.count, count
        return is_new

    def store(self) -> None:
        """Keep the number for the next start; a disk that does not take it is no reason to stop."""
        draft = self._path.with_suffix(".new")
        try:
            draft.write_text(str(self.count), encoding="ascii")
            draft.replace(self._path)
        except OSError as fault:
            log.warning("fleet_not_stored", reason=type(fault).__name__)
