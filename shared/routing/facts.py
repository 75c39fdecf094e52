"""What routing may know of a request, and whether a condition holds for it.

Comparisons are those of JavaScript, because configs were written for them: equality is strict and without conversion,
`$gt` and its kin read a number from the beginning of a text.  What is absent equals nothing.  Source:
`contract.md` 1.2.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import ge, gt, le, lt
from typing import Any, Final

from shared.schema.query import AnyOf, Pattern, Query, Test

_NUMBER: Final = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
#: What JavaScript takes for white space, which is not quite what Python does.
_SPACE: Final = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
_PRIMITIVE: Final = (str, int, float, bool, type(None))
_NUMBERS: Final = frozenset({int, float})
_MAX_NUMBER_CHARS: Final = 400
MAX_SAFE_TEXT: Final = 16 * 1024


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
        """Return the value of a hash field, at any depth; ABSENT when there is none that is simple."""
        root: Any = self.headers if path[0] == "headers" else self.params if path[0] == "params" else self.metadata
        for name in path[1:]:
            root = root.get(name, ABSENT) if isinstance(root, Mapping) else ABSENT
        return root if isinstance(root, _PRIMITIVE) else ABSENT


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
    match = _NUMBER.match(value.lstrip(_SPACE)[:_MAX_NUMBER_CHARS])
    return float(match[0]) if match else None


def same(left: Any, right: Any) -> bool:
    """Return whether two JSON values are strictly equal: of one type, and primitive."""
    kind = type(left)
    if kind is type(right):
        return kind in _PRIMITIVE and left == right
    return kind in _NUMBERS and type(right) in _NUMBERS and left == right


def _matches(value: Any, pattern: Pattern) -> bool:
    if pattern.engine is None or not isinstance(value, _PRIMITIVE):
        return False
    text = as_text(value)[:MAX_SAFE_TEXT]
    try:
        return bool(pattern.engine.Match(text))
    except UnicodeEncodeError:
        # Bytes of a path or header that are no UTF-8 arrive as lone surrogates.
        return bool(pattern.engine.Match(text.encode("utf-8", "replace").decode()))


def as_text(value: float | str | None) -> str:
    """Return a simple value as JavaScript's String writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    number = parse_number(value)
    if number is None or number in {float("inf"), float("-inf")}:
        return "NaN" if number is None else "Infinity" if number > 0 else "-Infinity"
    if number == 0 or _LEAST_PLAIN <= abs(number) < _LEAST_SCIENTIFIC:
        return format(Decimal(repr(number or 0.0)), "f").removesuffix(".0")
    mantissa, _, exponent = repr(number).partition("e")
    return f"{mantissa}e{int(exponent):+d}"


#: Between these JavaScript writes a number without an exponent.
_LEAST_PLAIN: Final = 1e-6
_LEAST_SCIENTIFIC: Final = 1e21


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    def is_in_order(value: Any, operand: Any) -> bool:
        if type(value) in _NUMBERS and type(operand) in _NUMBERS:
            return compare(value, operand)
        left, right = parse_number(value), parse_number(operand)
        return left is not None and right is not None and compare(left, right)

    return is_in_order


_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": same,
    "$ne": lambda value, operand: not same(value, operand),
    "$in": lambda value, operand: any(same(value, item) for item in operand),
    "$nin": lambda value, operand: not any(same(value, item) for item in operand),
    "$regex": _matches,
    "$gt": _ordered(gt),
    "$gte": _ordered(ge),
    "$lt": _ordered(lt),
    "$lte": _ordered(le),
}


def holds(query: Query, facts: Facts) -> bool:
    """Return whether `query` holds for a request."""
    if isinstance(query, Test):
        return _OPERATORS[query.operator](facts.value(query.root, query.key), query.operand)
    # A loop, because a generator expression costs as much as the comparison inside it.
    enough = isinstance(query, AnyOf)
    for part in query.parts:
        if holds(part, facts) is enough:
            return enough
    return not enough
