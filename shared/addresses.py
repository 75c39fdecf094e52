"""Where does an account live?  Base URLs with places for settings: `https://{azure_resource_name}.openai.azure.com`.

A place with a dash, `{vertex_region-}`, holds the setting with a dash behind it, and nothing for a setting that is
`global`: so are services named that live in regions, and in none.  What is put in may only be a part of a host name or
of a path, so a setting can never lead to another host.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]*)(-?)\}")
#: The region of what lives in none.
NOWHERE: Final = "global"
_PART: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?")


class AddressIncomplete(ValueError):
    """A setting that the address needs is missing or cannot stand in it; `setting` names it."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(f"{setting} {why}")
        self.setting = setting


@lru_cache(maxsize=256)
def places(template: str) -> tuple[str, ...]:
    """Return the names of the settings that a base URL needs."""
    return tuple(name for name, _ in _PLACE.findall(template))


def _filling(part: str, dash: str) -> str:
    return "" if dash and part == NOWHERE else part + dash


def fill_address(template: str, settings: Mapping[str, Any]) -> str:
    """Return the base URL with its settings put in; raises AddressIncomplete."""
    names = places(template)
    if not names:
        return template
    parts: dict[str, str] = {}
    for name in names:
        value = settings.get(name)
        if not isinstance(value, str) or not value:
            raise AddressIncomplete(name, "is required")
        if not _PART.fullmatch(value) or ".." in value:
            raise AddressIncomplete(name, "is not a part of an address")
        parts[name] = value
    return _PLACE.sub(lambda match: _filling(parts[match[1]], match[2]), template)


def lies_at(address: str, template: str, settings: Mapping[str, Any]) -> bool:
    """Return whether `address` is what the settings make of a base URL, not one that somebody chose instead."""
    try:
        return address.rstrip("/") == fill_address(template, settings)
    except AddressIncomplete:
        return False
