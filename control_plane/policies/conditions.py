"""To whom does a policy apply, and by what is its counter divided?  Which conditions and groups can be kept.

A key that no gateway knows would make a policy that never holds, so the list is closed.  Source: `contract.md` 6.5.
"""

from collections.abc import Mapping
from typing import Any, Final

from control_plane.policies.models import LLM, MCP_TOOLS
from shared.ids import parse_uuid

METADATA: Final = "metadata."
ANY: Final = "*"
MAX_CONDITIONS: Final = 20
MAX_VALUES: Final = 100
MAX_VALUE_CHARS: Final = 255
MAX_METADATA_CHARS: Final = 128

_CALLERS: Final = ("api_key", "workspace_id", "organisation_id")
_ROUTES: Final = ("virtual_key", "provider", "config", "prompt", "model")
_TOOLS: Final = ("mcp_server", "mcp_tool")
#: Known only before a call is made, so a rate can depend on it and a budget cannot.
_RATE_ONLY: Final = ("endpoint_type",)
_CONDITION_FIELDS: Final = frozenset({"key", "value", "excludes"})


def keys_of(target: str, *, is_rate: bool) -> tuple[str, ...]:
    """Return the keys that a policy of this target may name, besides those of metadata."""
    if target == MCP_TOOLS:
        return (*_CALLERS, *_TOOLS)
    return (*_CALLERS, *_ROUTES, *(_RATE_ONLY if is_rate else ()))


def _key_fault(key: object, allowed: tuple[str, ...]) -> str | None:
    if isinstance(key, str):
        name = key.removeprefix(METADATA)
        if key in allowed or (name != key and 0 < len(name) <= MAX_METADATA_CHARS):
            return None
    return f"must be one of: {', '.join(allowed)}, {METADATA}<name>"


def _text_fault(value: object, key: object, *, may_be_any: bool) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_VALUE_CHARS:
        return f"must be a text of 1 to {MAX_VALUE_CHARS} characters"
    if value == ANY:
        return None if may_be_any else f"{ANY} stands alone, as value"
    return "must be the UUID of an API key" if key == "api_key" and parse_uuid(value) is None else None


def _values_fault(values: object, key: object, *, may_be_any: bool) -> str | None:
    if not isinstance(values, list):
        return _text_fault(values, key, may_be_any=may_be_any)
    if not 0 < len(values) <= MAX_VALUES:
        return f"must have 1 to {MAX_VALUES} entries"
    return next((fault for each in values if (fault := _text_fault(each, key, may_be_any=False))), None)


def _list_fault(given: object) -> str | None:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        return "must be a list of objects"
    return None if 0 < len(given) <= MAX_CONDITIONS else f"must have 1 to {MAX_CONDITIONS} entries"


def _condition_faults(given: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, str | None]:
    key = given.get("key")
    faults: dict[str, str | None] = {
        name[:64]: "is no field of a condition" for name in given.keys() - _CONDITION_FIELDS
    }
    faults["key"] = _key_fault(key, allowed)
    faults["value"] = _values_fault(given.get("value"), key, may_be_any=True)
    if given.get("excludes") is not None:
        faults["excludes"] = _values_fault(given["excludes"], key, may_be_any=False)
    return faults


def _group_faults(given: Mapping[str, Any], allowed: tuple[str, ...], seen: set[str]) -> dict[str, str | None]:
    key = given.get("key")
    faults: dict[str, str | None] = {name[:64]: "is no field of a group" for name in given.keys() - {"key"}}
    faults["key"] = _key_fault(key, allowed)
    if faults["key"] is None:
        faults["key"] = "is there twice" if key in seen else None
        seen.add(str(key))
    return faults


def _kept(faults: Mapping[str, str | None]) -> dict[str, list[str]]:
    return {name: [fault] for name, fault in faults.items() if fault is not None}


def faults_of(conditions: object, group_by: object, *, target: str = LLM, is_rate: bool) -> dict[str, Any]:
    """Return what is wrong, by field, place and field again, as serializers have it; {} when both can be kept."""
    allowed = keys_of(target, is_rate=is_rate)
    faults: dict[str, Any] = {}
    for name, given in (("conditions", conditions), ("group_by", group_by)):
        fault = _list_fault(given)
        if fault is not None or not isinstance(given, list):
            faults[name] = [fault]
            continue
        seen: set[str] = set()
        found = {
            str(index): _kept(
                _condition_faults(each, allowed) if name == "conditions" else _group_faults(each, allowed, seen)
            )
            for index, each in enumerate(given)
        }
        if any(found.values()):
            faults[name] = {index: each for index, each in found.items() if each}
    return faults
