"""Paths into a request body, for `drop_params`: `logprobs`, `response_format.json_schema`, `messages[*].name`.

A path that leads nowhere is ignored.  The body itself is never changed: what is dropped from is copied, the rest
shared.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from shared.schema.values import Faults, Path, expected, text

Json = dict[str, Any]
#: Keys of objects are texts, places in arrays numbers, `EVERY` all places.
EVERY: Final = -1
ParamPath = tuple[str | int, ...]

MAX_PATH_CHARS: Final = 256
#: Each path is one pass over a part of the body.
MAX_PATHS: Final = 200
_PART: Final = re.compile(r"([^.\[\]]+)((?:\[(?:[0-9]{1,6}|\*)\])*)")
_INDEX: Final = re.compile(r"\[([0-9]+|\*)\]")


def parse_param_path(value: str) -> ParamPath | None:
    """Return the path that `value` spells, None when it spells none."""
    steps: list[str | int] = []
    for part in value.split("."):
        match = _PART.fullmatch(part)
        if match is None:
            return None
        steps.append(match[1])
        steps += [EVERY if index == "*" else int(index) for index in _INDEX.findall(match[2])]
    return tuple(steps)


def _one(value: Any, path: Path, faults: Faults) -> ParamPath | None:
    spelt = text(value, path, faults)
    if spelt is None:
        return None
    parsed = parse_param_path(spelt.removeprefix("$.")) if len(spelt) <= MAX_PATH_CHARS else None
    if parsed is None:
        faults.add(path, "Not a path such as 'logprobs', 'response_format.type' or 'messages[*].name'")
    return parsed


def param_paths(value: Any, path: Path, faults: Faults) -> tuple[ParamPath, ...]:
    """Read `drop_params`."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        expected("array", value, path, faults)
        return ()
    if len(value) > MAX_PATHS:
        faults.add(path, f"Array must contain at most {MAX_PATHS} element(s)")
        return ()
    found = (_one(item, (*path, str(index)), faults) for index, item in enumerate(value))
    return tuple(item for item in found if item is not None)


def _without(value: Any, path: ParamPath) -> Any:
    """Return `value` without what `path` leads to; the same object when there is nothing."""
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        if not isinstance(value, dict) or step not in value:
            return value
        if not rest:
            return {key: item for key, item in value.items() if key != step}
        inner = _without(value[step], rest)
        return value if inner is value[step] else {**value, step: inner}
    if not isinstance(value, list) or not value or step >= len(value):
        return value
    if not rest:
        return [] if step == EVERY else value[:step] + value[step + 1 :]
    changed = [_without(item, rest) if step in {EVERY, index} else item for index, item in enumerate(value)]
    return value if all(new is old for new, old in zip(changed, value, strict=True)) else changed


def drop_params(body: Json, paths: tuple[ParamPath, ...]) -> Json:
    """Return `body` without the parameters at `paths`."""
    for path in paths:
        body = _without(body, path)
    return body


def shape_params(
    body: Json, default: Mapping[str, Any], override: Mapping[str, Any], drop: tuple[ParamPath, ...]
) -> Json:
    """Return the body as a target wants it: defaults filled in, overrides forced, then parameters dropped.

    A parameter that is null in the request counts as said.
    """
    if default or override:
        body = {**default, **body, **override}
    return drop_params(body, drop) if drop else body
