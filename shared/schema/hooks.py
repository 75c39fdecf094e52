"""Guardrails as a config names them: a saved one by its slug, one written inline, or raw hooks.

All three become `Hook`s; what a check's parameters mean is the check's own matter.  Source: `contract.md` 1 and 5.2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.schema.values import Faults, Json, Path, Reader, expected, few, fields, flag, mapping, one_of, text

MAX_HOOKS: Final = 100
#: Keys of an inline guardrail that are not checks.
_RESERVED: Final = frozenset(
    {"deny", "on_fail", "on_success", "async", "id", "type", "guardrail_version_id", "sequential"}
)


@dataclass(frozen=True, slots=True)
class HookCheck:
    """One check of a hook: its id with its folder (`default.wordCount`), and its parameters as given.

    Parameters may hold a partner's key, so they are not shown.
    """

    id: str
    parameters: Mapping[str, Any] = field(repr=False)
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Hook:
    """Checks that run together, and what follows from their verdict; `id` None is an inline one without a name."""

    id: str | None
    checks: tuple[HookCheck, ...]
    kind: str = "guardrail"
    deny: bool = False
    is_async: bool = False
    sequential: bool = False
    on_fail: Mapping[str, Any] | None = None
    on_success: Mapping[str, Any] | None = None


def _outcome(value: Any, path: Path, faults: Faults) -> Json | None:
    return fields(value, path, faults, {"feedback": mapping, "deny": flag})


def _check(value: Any, path: Path, faults: Faults) -> HookCheck | None:
    readers: dict[str, Reader] = {"id": text, "parameters": mapping, "is_enabled": flag, "name": text}
    found = fields(value, path, faults, readers, required=("id", "parameters"))
    if found is None:
        return None
    return HookCheck(_full_name(found["id"]), found["parameters"], found.get("is_enabled", True))


def _full_name(check: str) -> str:
    return check if "." in check else f"default.{check}"


def _checks(value: Any, path: Path, faults: Faults) -> tuple[HookCheck, ...]:
    return few(MAX_HOOKS, _check)(value, path, faults)


_COMMON: Final[dict[str, Reader]] = {
    "id": text, "type": one_of("guardrail", "mutator"), "async": flag, "deny": flag, "sequential": flag,
    "on_fail": _outcome, "on_success": _outcome, "guardrail_version_id": text,
}  # fmt: skip


def _hook(found: Json, checks: tuple[HookCheck, ...], kind: str) -> Hook:
    return Hook(
        id=found.get("id"),
        checks=checks,
        kind=found.get("type", kind),
        deny=found.get("deny", False),
        is_async=found.get("async", False),
        sequential=found.get("sequential", False),
        on_fail=found.get("on_fail"),
        on_success=found.get("on_success"),
    )


def raw_hook(value: Any, path: Path, faults: Faults) -> Hook | None:
    """Read one element of `before_request_hooks` or `after_request_hooks`."""
    readers = {**_COMMON, "checks": _checks, "name": text, "eventType": text}
    found = fields(value, path, faults, readers, required=("id",))
    return None if found is None else _hook(found, found.get("checks", ()), "guardrail")


def _inline(value: Json, path: Path, faults: Faults, kind: str) -> Hook:
    reserved = {key: item for key, item in value.items() if key in _RESERVED}
    found = fields(reserved, path, faults, _COMMON) or {}
    checks: list[HookCheck] = []
    for name, parameters in value.items():
        if name in _RESERVED:
            continue
        if isinstance(parameters, dict):
            checks.append(HookCheck(_full_name(name), parameters))
        else:
            expected("object", parameters, (*path, name), faults)
    return _hook(found, tuple(checks), kind)


def _reader(kind: str) -> Callable[[Any, Path, Faults], Hook | str | None]:
    def read(value: Any, path: Path, faults: Faults) -> Hook | str | None:
        if isinstance(value, str):
            return text(value, path, faults)
        if isinstance(value, dict):
            return _inline(value, path, faults, kind)
        expected("string or object", value, path, faults)
        return None

    return read


_Named = Callable[[Any, Path, Faults], tuple[Hook | str, ...]]
_guardrails: Final[_Named] = few(MAX_HOOKS, _reader("guardrail"))
_mutators: Final[_Named] = few(MAX_HOOKS, _reader("mutator"))


def guardrails(value: Any, path: Path, faults: Faults) -> tuple[Hook | str, ...]:
    """Read `input_guardrails` or `output_guardrails`: slugs and inline guardrails."""
    return _guardrails(value, path, faults)


def mutators(value: Any, path: Path, faults: Faults) -> tuple[Hook | str, ...]:
    """Read `input_mutators` or `output_mutators`: as guardrails, but to rewrite."""
    return _mutators(value, path, faults)


def raw_hooks(value: Any, path: Path, faults: Faults) -> tuple[Hook, ...]:
    """Read `before_request_hooks` or `after_request_hooks`."""
    return few(MAX_HOOKS, raw_hook)(value, path, faults)
