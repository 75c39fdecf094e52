"""What routing may know of a request, and whether a condition holds for it.

Comparisons are those of JavaScript, because configs were written for them: equality is strict and without conversion,
`$gt` and its kin read a number from the beginning of a text.  What is absent equals nothing.  Source:
`contract.md` 1.2.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.schema.query import All, AnyOf, Pattern, Query, Test

_NUMBER: Final = re.compile(r"\s*([+-]?(?:Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))", re.ASCII)
_PRIMITIVE: Final = (str, int, float, bool, type(None))
MAX_SAFE_TEXT: Final = 64 * 1024


class _Absent:
    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


#: A value that the request does not have; unlike null, which it may have.
ABSENT: Final = _Absent()


@dataclass(slots=True)
class Facts:
    """A request as conditions and hash fields see it: `headers` have lower-case names."""

    path: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def value(self, root: str, key: str) -> Any:
        """Return the value at `root`.`key`, ABSENT when there is none that can be compared."""
        if root == "params":
            found = self.params.get(key, ABSENT)
            return found if isinstance(found, _PRIMITIVE) else ABSENT
        if root == "metadata":
            return self.metadata.get(key, ABSENT)
        return self.path

    def at(self, path: tuple[str, ...]) -> Any:
        """Return the value of a hash field, at any depth; ABSENT when there is none."""
        root: Any = self.headers if path[0] == "headers" else self.params if path[0] == "params" else self.metadata
        for name in path[1:]:
            root = root.get(name, ABSENT) if isinstance(root, Mapping) else ABSENT
        return root


def parse_number(value: Any) -> float | None:
    """Return the number at the beginning of `value` as JavaScript's parseFloat reads it, None for none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
        return None if number != number else number  # noqa: PLR0124 -- NaN
    if not isinstance(value, str):
        return None
    match = _NUMBER.match(value[:400])
    return float(match[1]) if match else None


def same(left: Any, right: Any) -> bool:
    """Return whether two JSON values are strictly equal: of one type, and primitive."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if not isinstance(left, _PRIMITIVE) or not isinstance(right, _PRIMITIVE):
        return False
    return type(left) is type(right) and left == right


def _matches(value: Any, pattern: Pattern) -> bool:
    if pattern.engine is None or not isinstance(value, _PRIMITIVE):
        return False
    return bool(pattern.engine.Match(_as_text(value)[:MAX_SAFE_TEXT]))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    def holds(value: Any, operand: Any) -> bool:
        left, right = parse_number(value), parse_number(operand)
        return left is not None and right is not None and compare(left, right)

    return holds


_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": same,
    "$ne": lambda value, operand: not same(value, operand),
    "$in": lambda value, operand: any(same(value, item) for item in operand),
    "$nin": lambda value, operand: not any(same(value, item) for item in operand),
    "$regex": _matches,
    "$gt": _ordered(lambda left, right: left > right),
    "$gte": _ordered(lambda left, right: left >= right),
    "$lt": _ordered(lambda left, right: left < right),
    "$lte": _ordered(lambda left, right: left <= right),
}


def holds(query: Query, facts: Facts) -> bool:
    """Return whether `query` holds for a request."""
    if isinstance(query, Test):
        return _OPERATORS[query.operator](facts.value(query.root, query.key), query.operand)
    if isinstance(query, All):
        return all(holds(part, facts) for part in query.parts)
    assert isinstance(query, AnyOf)  # noqa: S101 -- for the type checker
    return any(holds(part, facts) for part in query.parts)
