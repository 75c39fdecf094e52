"""Reading one value of the config language: what is wrong with it is noted with its path, never raised.

A fault reads `path: targets,0,weight, message: …`, the form that clients of the peer know.  Readers return a value
that can be worked on, so that all faults of a config are found in one go.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from shared.redact import Secret

Json = dict[str, Any]
Path = tuple[str, ...]
T = TypeVar("T")

#: More faults than these are not listed: a config of a quarter of a megabyte can have a hundred thousand.
MAX_FAULTS: Final = 100
_MAX_SHOWN_CHARS: Final = 200


def _cut(shown: str) -> str:
    return shown if len(shown) <= _MAX_SHOWN_CHARS else shown[: _MAX_SHOWN_CHARS - 1] + "…"


class Faults:
    """Collects faults.

    `headlines` are faults whose sentence is also the whole answer's, as clients of the peer expect; they count only
    when there are no others.  `trusted_hosts` None: addresses are not judged here.
    """

    def __init__(self, trusted_hosts: Collection[str] | None = None) -> None:
        self.lines: list[str] = []
        self.headlines: list[str] = []
        self.trusted_hosts = trusted_hosts
        self._wrong: set[Path] = set()

    def add(self, path: Path, message: str, *, headline: bool = False) -> None:
        """Note what is wrong at `path`."""
        if len(self.lines) > MAX_FAULTS:
            return
        self._wrong.update(path[:length] for length in range(len(path) + 1))
        if len(self.lines) == MAX_FAULTS:
            self.lines.append("path: , message: There are more faults than are listed here")
            return
        self.lines.append(f"path: {','.join(map(_cut, path))}, message: {_cut(message)}")
        if headline:
            self.headlines.append(_cut(message))

    def within(self, path: Path) -> bool:
        """Return whether something at or below `path` was already found wrong."""
        return path in self._wrong

    def headline(self) -> str | None:
        """Return the sentence for the whole answer, None when the usual one serves."""
        return self.headlines[0] if self.headlines and len(self.headlines) == len(self.lines) else None


Reader = Callable[[Any, Path, Faults], Any]

_KIND: Final[dict[type, str]] = {
    bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object",
    type(None): "null",
}  # fmt: skip


def expected(wanted: str, value: Any, path: Path, faults: Faults) -> None:
    """Note a value of a wrong type."""
    faults.add(path, f"Expected {wanted}, received {_KIND.get(type(value), 'unknown')}")


def text(value: Any, path: Path, faults: Faults) -> str | None:
    """Read a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    expected("string", value, path, faults) if not isinstance(value, str) else faults.add(path, "is empty")
    return None


def secret(value: Any, path: Path, faults: Faults) -> Secret | None:
    """Read a text that must not be shown."""
    read = text(value, path, faults)
    return None if read is None else Secret(read)


def flag(value: Any, path: Path, faults: Faults) -> bool | None:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    expected("boolean", value, path, faults)
    return None


def mapping(value: Any, path: Path, faults: Faults) -> Json | None:
    """Read an object."""
    if isinstance(value, dict):
        return value
    expected("object", value, path, faults)
    return None


def array(value: Any, path: Path, faults: Faults) -> list[Any]:
    """Read an array; empty for anything else."""
    if isinstance(value, list):
        return value
    expected("array", value, path, faults)
    return []


def whole(least: int, most: int) -> Reader:
    """Return the reader of a whole number from `least` to `most`; 5.0 is one, as in JavaScript."""

    def read(value: Any, path: Path, faults: Faults) -> int | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, float):
            faults.add(path, "Expected integer, received float")
        elif isinstance(value, bool) or not isinstance(value, int):
            expected("number", value, path, faults)
        elif not least <= value <= most:
            faults.add(path, f"Number must be from {least} to {most}")
        else:
            return value
        return None

    return read


def items(value: Any, path: Path, faults: Faults, read: Callable[[Any, Path, Faults], T | None]) -> tuple[T, ...]:
    """Read each element of an array with `read`; what cannot be read is noted and left out."""
    found = (read(item, (*path, str(index)), faults) for index, item in enumerate(array(value, path, faults)))
    return tuple(item for item in found if item is not None)


def few(most: int, read: Callable[[Any, Path, Faults], T | None]) -> Callable[[Any, Path, Faults], tuple[T, ...]]:
    """Return the reader of an array of at most `most` elements, each of which `read` reads."""

    def read_all(value: Any, path: Path, faults: Faults) -> tuple[T, ...]:
        if isinstance(value, list) and len(value) > most:
            faults.add(path, f"Array must contain at most {most} element(s)")
            return ()
        return items(value, path, faults, read)

    return read_all


_statuses: Final = few(900, whole(100, 999))


def statuses(value: Any, path: Path, faults: Faults) -> frozenset[int]:
    """Read an array of HTTP statuses."""
    return frozenset(_statuses(value, path, faults))


def one_of(*choices: str) -> Reader:
    """Return the reader of one of a few words."""

    def read(value: Any, path: Path, faults: Faults) -> str | None:
        if value in choices and isinstance(value, str):
            return value
        faults.add(path, f"Must be one of: {', '.join(choices)}")
        return None

    return read


def fields(
    value: Any, path: Path, faults: Faults, readers: Mapping[str, Reader], *, required: tuple[str, ...] = ()
) -> Json | None:
    """Read an object whose keys are those of `readers`; a key that is null counts as absent.

    Returns what could be read by key, None when `value` is no object or lacks a required key.
    """
    if mapping(value, path, faults) is None:
        return None
    found: Json = {}
    for key, item in value.items():
        here = (*path, str(key))
        reader = readers.get(key)
        if reader is None:
            faults.add(here, "Unrecognized key")
        elif item is not None and (read := reader(item, here, faults)) is not None:
            found[key] = read
    missing = [key for key in required if value.get(key) is None]
    for key in missing:
        faults.add((*path, key), "Required")
    return None if missing or any(key not in found for key in required) else found
