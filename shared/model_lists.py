"""Which models does a list allow?  Names, with `*` for any characters; `@slug/name` means that provider's alone."""

from collections.abc import Iterable
from functools import lru_cache


def _fits(pattern: str, name: str) -> bool:
    """Return whether `name` is what `pattern` says, in time that grows with both only."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


@lru_cache(maxsize=4096)
def is_listed(patterns: Iterable[str], model: str, virtual_key: str | None) -> bool:
    """Return whether one of `patterns` (hashable) allows `model`, a bare name, at the saved provider `virtual_key`."""
    for pattern in patterns:
        if not pattern.startswith("@"):
            if _fits(pattern, model):
                return True
            continue
        slug, slash, name = pattern[1:].partition("/")
        if slash and slug == virtual_key and _fits(name, model):
            return True
    return False
