"""The config language: parse a config into a tree and say everything that is wrong with it at once.

The control plane validates with this module what it saves, and the gateway parses with it what it runs, so what is
saved can be served.  Source of the keys: `contract.md` section 1.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shared import settings
from shared.errors import InvalidConfig
from shared.hosts import check_custom_host
from shared.redact import Secret
from shared.schema.hooks import Hook, guardrails, mutators, raw_hooks
from shared.schema.params import ParamPath, param_paths
from shared.schema.strategy import BreakerPolicy, Strategy, breaker, check_names, strategy
from shared.schema.target_settings import SETTING_ALIASES, TARGET_SETTINGS
from shared.schema.values import (
    Faults,
    Path,
    Reader,
    expected,
    few,
    fields,
    flag,
    mapping,
    one_of,
    secret,
    statuses,
    text,
    whole,
)

RETRYABLE_STATUSES: Final = frozenset({429, 500, 502, 503, 504, 529})
MAX_RETRIES: Final = 5
MAX_DEPTH: Final = 8
MAX_CONFIG_CHARS: Final = 256 * 1024
MAX_TIMEOUT_MS: Final = 24 * 3600 * 1000
MAX_CACHE_AGE_S: Final = 90 * 24 * 3600

#: Keys of the language that parse and validate, but whose feature this version does not have.
UNBUILT: Final = (
    "cache", "prompt_id", "input_guardrails", "output_guardrails", "before_request_hooks", "after_request_hooks",
    "input_mutators", "output_mutators",
)  # fmt: skip
#: Headers that a caller can never have sent on: they open metadata services, or belong to one connection.
NEVER_FORWARDED: Final = frozenset(
    {"metadata-flavor", "x-aws-ec2-metadata-token", "x-google-metadata-request", "host", "content-length",
     "transfer-encoding", "connection"}
)  # fmt: skip
MAX_FORWARDED: Final = 100
_names: Final = few(MAX_FORWARDED, text)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,128}")


@dataclass(frozen=True, slots=True)
class Retry:
    """Repeat the same target: `attempts` extra tries after the first, on these statuses only."""

    attempts: int = 0
    on_status_codes: frozenset[int] = RETRYABLE_STATUSES
    use_retry_after: bool = False


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Whether answers are kept, and for how many seconds; None: as long as the gateway keeps any."""

    mode: str
    max_age_s: int | None = None


class Config(msgspec.Struct, frozen=True):
    """One level of a config; `targets` are configs too.  None means: not said here, so inherited."""

    strategy: Strategy | None = None
    targets: tuple["Config", ...] = ()
    name: str | None = None
    weight: float = 1.0
    provider: str | None = None
    virtual_key: str | None = None
    api_key: Secret | None = None
    prompt_id: str | None = None
    override_params: Mapping[str, Any] | None = None
    default_params: Mapping[str, Any] | None = None
    drop_params: tuple[ParamPath, ...] | None = None
    retry: Retry | None = None
    cache: CachePolicy | None = None
    request_timeout: int | None = None
    custom_host: str | None = None
    forward_headers: tuple[str, ...] | None = None
    strict_open_ai_compliance: bool | None = None
    passthrough: bool = False
    cb_config: BreakerPolicy | None = None
    input_guardrails: tuple[Hook | str, ...] | None = None
    output_guardrails: tuple[Hook | str, ...] | None = None
    before_request_hooks: tuple[Hook, ...] | None = None
    after_request_hooks: tuple[Hook, ...] | None = None
    input_mutators: tuple[Hook | str, ...] | None = None
    output_mutators: tuple[Hook | str, ...] | None = None
    fetch_integrated_models: bool | None = None
    settings: Mapping[str, Any] = {}

    def unbuilt(self) -> tuple[str, ...]:
        """Return the keys said here whose feature this version does not have."""
        return tuple(key for key in UNBUILT if getattr(self, key))


def _weight(value: Any, path: Path, faults: Faults) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        expected("number", value, path, faults)
    elif not 0 <= value <= 1e12:
        faults.add(path, "Number must be greater than or equal to 0")
    else:
        return float(value)
    return 1.0


def _forward_headers(value: Any, path: Path, faults: Faults) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in _names(value, path, faults))
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            faults.add(path, "Not a header's name")
        elif name.startswith("x-portkey-"):
            faults.add(path, f"forward_headers must not contain the '{name}' header", headline=True)
        elif name in NEVER_FORWARDED:
            faults.add(path, f"the header '{name}' is never forwarded")
    return names


def _custom_host(value: Any, path: Path, faults: Faults) -> str | None:
    url = text(value, path, faults)
    if url is not None and faults.trusted_hosts is not None:
        try:
            check_custom_host(url, faults.trusted_hosts)
        except ValueError as fault:
            faults.add(path, f"Invalid custom host: {fault}")
    return url


def _retry(value: Any, path: Path, faults: Faults) -> Retry | None:
    readers: dict[str, Reader] = {
        "attempts": whole(0, MAX_RETRIES), "on_status_codes": statuses, "use_retry_after_headers": flag,
        "use_retry_after_header": flag,
    }  # fmt: skip
    found = fields(value, path, faults, readers, required=("attempts",))
    if found is None:
        return None
    waits = any(found.get(key) for key in ("use_retry_after_headers", "use_retry_after_header"))
    return Retry(found["attempts"], found.get("on_status_codes", RETRYABLE_STATUSES), waits)


def _cache(value: Any, path: Path, faults: Faults) -> CachePolicy | None:
    readers: dict[str, Reader] = {"mode": one_of("simple", "semantic"), "max_age": whole(1, MAX_CACHE_AGE_S)}
    found = fields(value, path, faults, readers, required=("mode",))
    return None if found is None else CachePolicy(found["mode"], found.get("max_age"))


#: Every key with a reader of its own; the name is also the field of `Config`.
_READERS: Final[dict[str, Reader]] = {
    "strategy": strategy,
    "name": text,
    "weight": _weight,
    "provider": text,
    "virtual_key": text,
    "api_key": secret,
    "prompt_id": text,
    "override_params": mapping,
    "default_params": mapping,
    "drop_params": param_paths,
    "retry": _retry,
    "cache": _cache,
    "request_timeout": whole(1, MAX_TIMEOUT_MS),
    "custom_host": _custom_host,
    "forward_headers": _forward_headers,
    "strict_open_ai_compliance": flag,
    "passthrough": flag,
    "cb_config": breaker,
    "input_guardrails": guardrails,
    "output_guardrails": guardrails,
    "before_request_hooks": raw_hooks,
    "after_request_hooks": raw_hooks,
    "input_mutators": mutators,
    "output_mutators": mutators,
    "fetch_integrated_models": flag,
}
_ELSEWHERE: Final = frozenset({"on_status_codes", "targets", "$schema"})


def _fields(value: Mapping[str, Any], path: Path, faults: Faults) -> dict[str, Any]:
    """Read every key of one level but its targets."""
    read: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for key, item in value.items():
        reader = _READERS.get(key)
        if key == "options":
            faults.add((*path, key), _LEGACY, headline=True)
        elif item is None or key in _ELSEWHERE:
            continue
        elif reader is not None:
            read[key] = reader(item, (*path, key), faults)
        elif key in TARGET_SETTINGS:
            if (setting := TARGET_SETTINGS[key](item, (*path, key), faults)) is not None:
                given[SETTING_ALIASES.get(key, key)] = setting
        else:
            faults.add((*path, str(key)), "Unrecognized key")
    if value.get("on_status_codes") is not None:
        codes = statuses(value["on_status_codes"], (*path, "on_status_codes"), faults)
        if read.get("strategy") is not None and read["strategy"].on_status_codes is None:
            read["strategy"] = msgspec.structs.replace(read["strategy"], on_status_codes=codes)
    read["passthrough"] = bool(read.get("passthrough"))
    read["settings"] = given
    return read


def _level(value: Any, path: Path, faults: Faults, room: list[int]) -> Config:
    """Read one level; `room` is how many more targets may be nested below this target of the root."""
    if not isinstance(value, dict):
        expected("object", value, path, faults)
        return Config()
    read = _fields(value, path, faults)
    chosen: Strategy | None = read.get("strategy")
    targets = _targets(value.get("targets"), path, faults, chosen, room)
    if chosen is not None or len(targets) > 1:
        _together(chosen, targets, path, faults)
    return Config(**read, targets=targets)


def _together(chosen: Strategy | None, targets: tuple[Config, ...], path: Path, faults: Faults) -> None:
    """Note a strategy and targets of one level that do not go together."""
    where, how = (*path, "targets"), (*path, "strategy")
    if chosen is None:
        if not faults.within(how):
            faults.add(how, "Required when there is more than one target")
    elif not targets:
        if not faults.within(where):
            faults.add(where, "Required when there is a strategy")
    elif not faults.lines or not any(faults.within((*where, str(at), "name")) for at in range(len(targets))):
        check_names(chosen, tuple(target.name for target in targets), how, faults)


def _targets(value: Any, path: Path, faults: Faults, chosen: Strategy | None, room: list[int]) -> tuple[Config, ...]:
    here = (*path, "targets")
    if value is None:
        return ()
    if not isinstance(value, list):
        expected("array", value, here, faults)
        return ()
    if sum(part == "targets" for part in here) > MAX_DEPTH:
        faults.add(here, f"Nested deeper than {MAX_DEPTH} levels")
        return ()
    if not path:
        conditional = chosen is not None and chosen.mode == "conditional"
        most = settings.MAX_CONDITIONAL_ROOT_TARGETS if conditional else settings.MAX_ROOT_TARGETS
    else:
        most = room[0]
        room[0] -= len(value)
    if len(value) > most:
        faults.add(here, f"Array must contain at most {max(0, most)} element(s)")
        return ()
    return tuple(
        [
            _level(item, (*here, str(index)), faults, room if path else [settings.MAX_NESTED_TARGETS])
            for index, item in enumerate(value)
        ]
    )


def _says_something(body: Mapping[str, Any], config: Config) -> bool:
    """Return whether a root says at least one of the things that make a config (`contract.md` 1, `anyOf`)."""
    named = config.provider is not None and (
        config.provider.startswith("@")
        or config.provider in _WITHOUT_KEY
        or config.api_key is not None
        or config.custom_host is not None
    )
    given = (key for key in body if body[key] is not None)
    return named or bool(config.settings) or any(key in _ENOUGH for key in given)


def parse_config(body: object, *, trusted_hosts: Collection[str] | None = None) -> Config:
    """Return the config that a decoded JSON value states.

    `trusted_hosts`: custom hosts are judged here too, those being exempt from the rules on private addresses; None
    leaves that to the moment of use.  Raises InvalidConfig whose `errors` name every fault with its path.
    """
    faults = Faults(trusted_hosts)
    config = _level(body, (), faults, [settings.MAX_NESTED_TARGETS])
    if isinstance(body, dict) and not faults.lines and not _says_something(body, config):
        faults.add((), _EMPTY)
    if faults.lines:
        raise InvalidConfig(faults.headline() or "Invalid config passed", errors=faults.lines)
    return config


#: Providers that are used without a key.
_WITHOUT_KEY: Final = frozenset({"ollama", "triton"})
_ENOUGH: Final = frozenset(
    {"virtual_key", "strategy", "targets", "cache", "retry", "prompt_id", "forward_headers", "request_timeout",
     "passthrough", "default_params", "override_params", "drop_params", "cb_config", "input_guardrails",
     "output_guardrails", "before_request_hooks", "after_request_hooks", "strict_open_ai_compliance"}
)  # fmt: skip
_LEGACY: Final = "This version of config is not supported in this route. Please migrate to the latest version"
_EMPTY: Final = (
    "Invalid configuration. It must have either 'provider' and 'api_key', or 'strategy' and 'targets', "
    "or 'cache', or 'retry', or 'request_timeout'"
)
