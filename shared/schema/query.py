"""The conditions of conditional routing: the query language, parsed into tests.

    {"metadata.plan": "paid"}                              equality
    {"params.max_tokens": {"$gt": 100, "$lte": 4000}}      several operators: all must hold
    {"$or": [{...}, {...}], "url.pathname": {"$regex": "^/v1/chat"}}

Source: `contract.md` 1.2.  Patterns run in linear time, whatever they are; what such an engine cannot do (look-around,
back-references) is a fault.  A pattern that no engine understands matches nothing.
"""

import re
from functools import lru_cache
from typing import Any, Final

import msgspec
import re2

from shared.schema.values import Faults, Path, array, expected, text

ROOTS: Final = ("metadata", "params", "url")
COMPARISONS: Final = ("$eq", "$ne", "$in", "$nin", "$regex", "$gt", "$gte", "$lt", "$lte")
LOGICAL: Final = ("$and", "$or")
MAX_PATTERN_CHARS: Final = 1000
MAX_QUERY_DEPTH: Final = 16

#: How this engine's complaints begin about what JavaScript does not accept either.
_BROKEN: Final = (
    "missing ", "unexpected )", "trailing \\", "no argument for repetition", "bad repetition operator",
    "invalid character class range",
)  # fmt: skip
_UNICODE: Final = re.compile(r"(\\\\)|\\u([0-9a-fA-F]{4})")
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


class Pattern:
    """A compiled pattern; `engine.Match(text)` is true where it is found, `engine` None matches nothing."""

    __slots__ = ("engine", "source")

    def __init__(self, source: str, engine: Any) -> None:
        self.source = source
        self.engine = engine

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"Pattern({self.source!r})"


class Test(msgspec.Struct, frozen=True):
    """One comparison: the value at `root`.`key` against `operand`; `path` is both as written."""

    root: str
    key: str
    operator: str
    operand: Any
    path: str


class All(msgspec.Struct, frozen=True):
    """Holds when every part holds; without parts, always."""

    parts: tuple["Query", ...]


class AnyOf(msgspec.Struct, frozen=True):
    """Holds when some part holds; without parts, never."""

    parts: tuple["Query", ...]


Query = Test | All | AnyOf


class Condition(msgspec.Struct, frozen=True):
    """When `query` holds, the target named `then` is taken; `paths` are what it looks at: root, key, and both."""

    query: Query
    then: str
    paths: tuple[tuple[str, str, str], ...] = ()


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Any:
    """Return what finds the pattern; raises re2.error.

    A set of one pattern, because it says whether without saying where, at a fifth of the cost.
    """
    # JavaScript's \u0041 is this engine's \x{0041}; what follows an escaped backslash is no escape.
    spelt = _UNICODE.sub(lambda match: match[1] or f"\\x{{{match[2]}}}", source)
    re2.compile(spelt, _OPTIONS)
    found = re2.Set.SearchSet(_OPTIONS)
    found.Add(spelt)
    found.Compile()
    return found


def _pattern(value: Any, path: Path, faults: Faults) -> Pattern | None:
    if not isinstance(value, str):
        expected("string", value, path, faults)
        return None
    if len(value) > MAX_PATTERN_CHARS:
        faults.add(path, f"String must contain at most {MAX_PATTERN_CHARS} character(s)")
        return None
    try:
        return Pattern(value, _compiled(value))
    except UnicodeEncodeError:
        return Pattern(value, None)
    except re2.error as fault:
        if str(fault.args[0], "utf-8", "replace").startswith(_BROKEN):
            return Pattern(value, None)
    faults.add(path, "The pattern uses look-around, a back-reference or another thing that cannot run in linear time")
    return None


def _test(address: str, operator: str, operand: Any, path: Path, faults: Faults) -> Test | None:
    root, _, key = address.partition(".")
    if operator == "$regex":
        operand = _pattern(operand, path, faults)
        if operand is None:
            return None
    elif operator in {"$in", "$nin"}:
        operand = tuple(array(operand, path, faults))
    return Test(root, key, operator, operand, address)


def _tests(address: str, value: Any, path: Path, faults: Faults) -> list[Query]:
    root, _, key = address.partition(".")
    if root not in ROOTS or not key or (root == "url" and key != "pathname"):
        faults.add(path, "A condition looks at metadata.<key>, params.<key> or url.pathname")
        return []
    if not isinstance(value, dict):
        return [Test(root, key, "$eq", value, address)]
    found: list[Query] = []
    for operator, operand in value.items():
        here = (*path, str(operator))
        if operator not in COMPARISONS:
            faults.add(here, f"Unsupported operator used in the query router: {operator}", headline=True)
        elif (test := _test(address, operator, operand, here, faults)) is not None:
            found.append(test)
    return found


def parse_query(value: Any, path: Path, faults: Faults, depth: int = 0) -> Query:
    """Read one query object; faults are noted."""
    if depth > MAX_QUERY_DEPTH:
        faults.add(path, f"Nested deeper than {MAX_QUERY_DEPTH} levels")
        return All(())
    if not isinstance(value, dict):
        expected("object", value, path, faults)
        return All(())
    parts: list[Query] = []
    for name, item in value.items():
        here = (*path, str(name))
        if name in LOGICAL:
            inner = tuple(
                [
                    parse_query(each, (*here, str(index)), faults, depth + 1)
                    for index, each in enumerate(array(item, here, faults))
                ]
            )
            parts.append(All(inner) if name == "$and" else AnyOf(inner))
        elif str(name).startswith("$"):
            faults.add(here, f"Unsupported operator used in the query router: {name}", headline=True)
        else:
            parts += _tests(str(name), item, here, faults)
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _looked_at(query: Query) -> dict[tuple[str, str, str], None]:
    if isinstance(query, Test):
        return {(query.root, query.key, query.path): None}
    found: dict[tuple[str, str, str], None] = {}
    for part in query.parts:
        found |= _looked_at(part)
    return found


#: Stands for a condition that is at fault, so that the others keep their places.
_UNREADABLE: Final = Condition(All(()), "")


def _condition(value: Any, path: Path, faults: Faults) -> Condition:
    if not isinstance(value, dict):
        expected("object", value, path, faults)
        return _UNREADABLE
    for key in value:
        if key not in {"query", "then"}:
            faults.add((*path, str(key)), "Unrecognized key")
    query, then = _UNREADABLE.query, None
    if "query" in value:
        query = parse_query(value["query"], (*path, "query"), faults)
    else:
        faults.add((*path, "query"), "Required")
    if "then" in value:
        then = text(value["then"], (*path, "then"), faults)
    else:
        faults.add((*path, "then"), "Required")
    return Condition(query, then or "", tuple(_looked_at(query)))


def parse_conditions(value: Any, path: Path, faults: Faults) -> tuple[Condition, ...]:
    """Read `strategy.conditions`; one that is at fault keeps its place, its `then` is empty where it has none."""
    return tuple(
        [_condition(item, (*path, str(index)), faults) for index, item in enumerate(array(value, path, faults))]
    )
