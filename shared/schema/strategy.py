"""`strategy`: how a config chooses among its targets, and when one of them is left alone for a while.

Source: `contract.md` 1.1, 1.2, 1.6.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shared.schema.query import Condition, parse_conditions
from shared.schema.values import Faults, Path, Reader, expected, few, fields, flag, statuses, text, whole

MODES: Final = ("single", "loadbalance", "fallback", "conditional")
STICKY_TTL_S: Final = 3600
MAX_STICKY_TTL_S: Final = 30 * 24 * 3600
MAX_HASH_FIELDS: Final = 16
LEAST_COOLDOWN_MS: Final = 30_000
MAX_COOLDOWN_MS: Final = 24 * 3600 * 1000
MINIMUM_REQUESTS: Final = 5
_STICKY_ROOTS: Final = ("metadata", "params", "headers")


@dataclass(frozen=True, slots=True)
class StickyFields:
    """Requests that agree in `fields` (paths, split at dots) keep their target for `ttl_s` seconds."""

    fields: tuple[tuple[str, ...], ...]
    ttl_s: int = STICKY_TTL_S


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a target is left alone: after `failures` failures, or at `percentage` % of at least `minimum` requests.

    `statuses` None: every status above 500 is a failure.  `cooldown_ms` later it is used again.
    """

    cooldown_ms: int
    failures: int | None = None
    percentage: int | None = None
    minimum: int = MINIMUM_REQUESTS
    statuses: frozenset[int] | None = None


class Strategy(msgspec.Struct, frozen=True):
    """How a config chooses among its targets; `on_status_codes` None means any status but 2xx."""

    mode: str
    on_status_codes: frozenset[int] | None = None
    conditions: tuple[Condition, ...] = ()
    default: str | None = None
    sticky: StickyFields | None = None
    breaker: BreakerPolicy | None = None


def _sticky_field(value: Any, path: Path, faults: Faults) -> tuple[str, ...] | None:
    if not isinstance(value, str):
        expected("string", value, path, faults)
        return None
    parts = tuple(value.split("."))
    if parts[0] == "headers":
        parts = ("headers", ".".join(parts[1:]).lower())
    if parts[0] not in _STICKY_ROOTS or len(parts) < 2 or not all(parts):
        faults.add(path, "A hash field is metadata.<key>, params.<key> or headers.<name>")
        return None
    return parts


def _sticky_fields(value: Any, path: Path, faults: Faults) -> tuple[tuple[str, ...], ...]:
    return few(MAX_HASH_FIELDS, _sticky_field)(value, path, faults)


def _sticky(value: Any, path: Path, faults: Faults) -> StickyFields | None:
    readers: dict[str, Reader] = {
        "enabled": flag, "hash_fields": _sticky_fields, "ttl": whole(1, MAX_STICKY_TTL_S),
    }  # fmt: skip
    found = fields(value, path, faults, readers)
    if not found or not found.get("enabled"):
        return None
    if not found.get("hash_fields"):
        if not faults.within((*path, "hash_fields")):
            faults.add((*path, "hash_fields"), "Required")
        return None
    return StickyFields(found["hash_fields"], found.get("ttl", STICKY_TTL_S))


def breaker(value: Any, path: Path, faults: Faults) -> BreakerPolicy | None:
    """Read a `cb_config`."""
    readers: dict[str, Reader] = {
        "failure_threshold": whole(1, 1_000_000),
        "failure_threshold_percentage": whole(1, 100),
        "minimum_requests": whole(1, 1_000_000),
        "cooldown_interval": whole(LEAST_COOLDOWN_MS, MAX_COOLDOWN_MS),
        "failure_status_codes": statuses,
    }
    found = fields(value, path, faults, readers, required=("cooldown_interval",))
    if found is None:
        return None
    failures, percentage = found.get("failure_threshold"), found.get("failure_threshold_percentage")
    if failures is None and percentage is None and not faults.within(path):
        faults.add(path, "Either failure_threshold or failure_threshold_percentage is required")
    return BreakerPolicy(
        found["cooldown_interval"], failures, percentage, found.get("minimum_requests", MINIMUM_REQUESTS),
        found.get("failure_status_codes") or None,
    )  # fmt: skip


def _as_given(value: Any, _path: Path, _faults: Faults) -> Any:
    return value


_READERS: Final[dict[str, Reader]] = {
    "mode": _as_given,
    "on_status_codes": statuses,
    "conditions": parse_conditions,
    "default": text,
    "sticky": _sticky,
    "cb_config": breaker,
}


def strategy(value: Any, path: Path, faults: Faults) -> Strategy | None:
    """Read a `strategy`."""
    found = fields(value, path, faults, _READERS)
    if found is None:
        return None
    mode = found.get("mode")
    if mode not in MODES:
        faults.add((*path, "mode"), f"Invalid 'mode' value. Must be one of: {', '.join(MODES)}")
        return None
    if mode == "conditional" and value.get("conditions") in (None, []):
        faults.add((*path, "conditions"), "No conditions passed in the query router", headline=True)
    return Strategy(
        mode, found.get("on_status_codes"), found.get("conditions", ()), found.get("default"), found.get("sticky"),
        found.get("cb_config"),
    )  # fmt: skip


def check_names(chosen: Strategy, names: tuple[str | None, ...], path: Path, faults: Faults) -> None:
    """Note conditions that lead to no target; `names` are those of the targets.

    Only the conditional mode looks at its conditions; a name that could not be read has its fault already.
    """
    if chosen.mode != "conditional":
        return
    known = set(names)
    wanted = [((*path, "conditions", str(index), "then"), item.then) for index, item in enumerate(chosen.conditions)]
    wanted.append(((*path, "default"), chosen.default or ""))
    for where, name in wanted:
        if name and name not in known:
            faults.add(where, f"Invalid target name found in the query router: {name}", headline=True)
