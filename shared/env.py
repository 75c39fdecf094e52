"""Settings from the environment: every variable is declared once, and `deploy/env.example` is made of the list.

A `settings.py` calls `env.text("NAME", default, "meaning")`.  A value that does not parse stops the process with
one sentence that names the variable, never with a traceback at the first request.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")


class SettingInvalid(SystemExit):
    """A setting cannot be used; the sentence says which and why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its default as text (None: must be given), meaning, and the module that reads it."""

    name: str
    default: str | None
    meaning: str
    reader: str
    secret: bool


REGISTRY: Final[dict[tuple[str, str], Setting]] = {}


class Env:
    """Reads variables for one module, `reader`, and remembers what was declared."""

    def __init__(self, reader: str) -> None:
        self._reader = reader

    def _read(
        self, name: str, default: str | None, meaning: str, parse: Callable[[str], T], *, secret: bool = False
    ) -> T:
        REGISTRY[(self._reader, name)] = Setting(name, default, meaning, self._reader, secret)
        raw = os.environ.get(name)
        if raw is None or raw == "":
            if default is None:
                raise SettingInvalid(f"{name} must be set: {meaning}")
            raw = default
        try:
            return parse(raw)
        except ValueError as fault:
            shown = "its value" if secret else repr(raw)
            raise SettingInvalid(f"{name}: {shown} cannot be used ({fault}): {meaning}") from None

    def text(self, name: str, default: str | None, meaning: str, *, secret: bool = False) -> str:
        """Read a string; `default=None` makes it required, `""` makes it optional."""
        return self._read(name, default, meaning, str, secret=secret)

    def integer(self, name: str, default: int, meaning: str, *, least: int = 0, most: int = 2**53) -> int:
        """Read a whole number within `least`..`most`."""

        def parse(raw: str) -> int:
            value = int(raw)
            if not least <= value <= most:
                raise ValueError(f"must be from {least} to {most}")
            return value

        return self._read(name, str(default), meaning, parse)

    def number(self, name: str, default: float, meaning: str) -> float:
        """Read a number that is not negative."""

        def parse(raw: str) -> float:
            value = float(raw)
            if not 0 <= value < float("inf"):
                raise ValueError("must be a number, not negative")
            return value

        return self._read(name, f"{default:g}", meaning, parse)

    def boolean(self, name: str, *, default: bool, meaning: str) -> bool:
        """Read `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`, in any case."""

        def parse(raw: str) -> bool:
            word = raw.strip().lower()
            if word in {"1", "true", "yes", "on"}:
                return True
            if word in {"0", "false", "no", "off"}:
                return False
            raise ValueError("must be true or false")

        return self._read(name, "true" if default else "false", meaning, parse)

    def choice(self, name: str, default: str, options: Collection[str], meaning: str) -> str:
        """Read one of a few words, in any case."""

        def parse(raw: str) -> str:
            word = raw.strip().lower()
            if word not in options:
                raise ValueError(f"must be one of {', '.join(options)}")
            return word

        return self._read(name, default, meaning, parse)

    def path(self, name: str, default: str | None, meaning: str) -> Path:
        """Read a file or folder name."""
        return self._read(name, default, meaning, Path)

    def networks(self, name: str, meaning: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """Read comma-separated networks such as `10.0.0.0/8`; none unless set."""
        try:
            return tuple(ip_network(word, strict=False) for word in self.words(name, "", meaning))
        except ValueError as fault:
            raise SettingInvalid(f"{name}: {fault}") from None

    def words(self, name: str, default: str, meaning: str) -> tuple[str, ...]:
        """Read a comma-separated list; blanks are dropped."""
        return self._read(name, default, meaning, lambda raw: tuple(w.strip() for w in raw.split(",") if w.strip()))
