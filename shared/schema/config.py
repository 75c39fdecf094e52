"""The config language: parse a config into a tree and say everything that is wrong with it at once.

The control plane validates with this module what it saves, and the gateway parses with it what it runs, so what is
saved can be served.  Source of the keys: `contract.md` section 1.  A fault reads `path: targets,0,weight, message: …`,
the form that clients of the peer know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.errors import InvalidConfig
from shared.redact import Secret

Json = dict[str, Any]

MODES: Final = ("single", "loadbalance", "fallback", "conditional")
RETRYABLE_STATUSES: Final = frozenset({429, 500, 502, 503, 504, 529})
MAX_RETRIES: Final = 5
MAX_ROOT_TARGETS: Final = 100
MAX_NESTED_TARGETS: Final = 50
MAX_DEPTH: Final = 8
MAX_CONFIG_CHARS: Final = 256 * 1024

#: Keys of the language that parse and validate, but whose feature this version does not have.
UNBUILT: Final = (
    "cache", "prompt_id", "input_guardrails", "output_guardrails", "before_request_hooks", "after_request_hooks",
    "input_mutators", "output_mutators", "cb_config",
)  # fmt: skip
#: Provider credentials and settings that a target may carry, by prefix or name.
_SETTING_PREFIXES: Final = (
    "azure_",
    "aws_",
    "amzn_",
    "vertex_",
    "openai_",
    "workers_ai_",
    "snowflake_",
    "oracle_",
)
_SETTINGS: Final = frozenset(
    {
        "resource_name",
        "deployment_id",
        "api_version",
        "deployments",
        "huggingface_base_url",
        "fireworks_account_id",
    }
)


@dataclass(frozen=True, slots=True)
class Retry:
    """Repeat the same target: `attempts` extra tries after the first, on these statuses only."""

    attempts: int = 0
    on_status_codes: frozenset[int] = RETRYABLE_STATUSES
    use_retry_after: bool = False


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a config chooses among its targets; `on_status_codes` None means any status but 2xx."""

    mode: str
    on_status_codes: frozenset[int] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """One level of a config; `targets` are configs too.  None means: not said here, so inherited."""

    strategy: Strategy | None = None
    targets: tuple["Config", ...] = ()
    name: str | None = None
    weight: float = 1.0
    provider: str | None = None
    virtual_key: str | None = None
    api_key: Secret | None = None
    override_params: Mapping[str, Any] | None = None
    default_params: Mapping[str, Any] | None = None
    drop_params: tuple[str, ...] | None = None
    retry: Retry | None = None
    request_timeout: int | None = None
    custom_host: str | None = None
    forward_headers: tuple[str, ...] | None = None
    strict_open_ai_compliance: bool | None = None
    passthrough: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    unbuilt: tuple[str, ...] = ()


class _Faults:
    """Collects faults; `path` is the comma-joined way to the value, as in the peer's messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: tuple[str, ...], message: str) -> None:
        self.lines.append(f"path: {','.join(path)}, message: {message}")


_Reader = Callable[[Any, tuple[str, ...], _Faults], Any]

_KIND: Final[dict[type, str]] = {
    bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object",
    type(None): "null",
}  # fmt: skip


def _expected(wanted: str, value: Any, path: tuple[str, ...], faults: _Faults) -> None:
    faults.add(path, f"Expected {wanted}, received {_KIND.get(type(value), 'unknown')}")


def _text(value: Any, path: tuple[str, ...], faults: _Faults) -> str | None:
    if isinstance(value, str) and value:
        return value
    _expected("string", value, path, faults) if not isinstance(value, str) else faults.add(path, "is empty")
    return None


def _secret(value: Any, path: tuple[str, ...], faults: _Faults) -> Secret | None:
    text = _text(value, path, faults)
    return None if text is None else Secret(text)


def _flag(value: Any, path: tuple[str, ...], faults: _Faults) -> bool | None:
    if isinstance(value, bool):
        return value
    _expected("boolean", value, path, faults)
    return None


def _mapping(value: Any, path: tuple[str, ...], faults: _Faults) -> Json | None:
    if isinstance(value, dict):
        return value
    _expected("object", value, path, faults)
    return None


def _weight(value: Any, path: tuple[str, ...], faults: _Faults) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _expected("number", value, path, faults)
    elif not 0 <= value <= 1e12:
        faults.add(path, "Number must be greater than or equal to 0")
    else:
        return float(value)
    return 1.0


def _whole(least: int, most: int) -> _Reader:
    def read(value: Any, path: tuple[str, ...], faults: _Faults) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            _expected("number", value, path, faults)
        elif not least <= value <= most:
            faults.add(path, f"Number must be from {least} to {most}")
        else:
            return value
        return None

    return read


def _texts(value: Any, path: tuple[str, ...], faults: _Faults) -> tuple[str, ...]:
    if not isinstance(value, list):
        _expected("array", value, path, faults)
        return ()
    return tuple(
        text for index, item in enumerate(value) if (text := _text(item, (*path, str(index)), faults)) is not None
    )


def _statuses(value: Any, path: tuple[str, ...], faults: _Faults) -> frozenset[int]:
    if not isinstance(value, list):
        _expected("array", value, path, faults)
        return frozenset()
    read = _whole(100, 999)
    found = (read(item, (*path, str(index)), faults) for index, item in enumerate(value))
    return frozenset(code for code in found if code is not None)


def _forward_headers(value: Any, path: tuple[str, ...], faults: _Faults) -> tuple[str, ...]:
    names = tuple(name.lower() for name in _texts(value, path, faults))
    for name in names:
        if name.startswith("x-portkey-"):
            faults.add(path, f"forward_headers must not contain the '{name}' header")
        elif name in _NEVER_FORWARDED:
            faults.add(path, f"the header '{name}' is never forwarded")
    return names


_NEVER_FORWARDED: Final = frozenset(
    {"metadata-flavor", "x-aws-ec2-metadata-token", "x-google-metadata-request", "host", "content-length",
     "transfer-encoding", "connection"}
)  # fmt: skip


def _retry(value: Any, path: tuple[str, ...], faults: _Faults) -> Retry | None:
    if _mapping(value, path, faults) is None:
        return None
    for key in value.keys() - {
        "attempts",
        "on_status_codes",
        "use_retry_after_headers",
        "use_retry_after_header",
    }:
        faults.add((*path, key), "Unrecognized key")
    if "attempts" not in value:
        faults.add((*path, "attempts"), "Required")
        return None
    attempts = _whole(0, MAX_RETRIES)(value["attempts"], (*path, "attempts"), faults)
    codes = RETRYABLE_STATUSES
    if value.get("on_status_codes") is not None:
        codes = _statuses(value["on_status_codes"], (*path, "on_status_codes"), faults)
    use = any(
        _flag(value[key], (*path, key), faults)
        for key in ("use_retry_after_headers", "use_retry_after_header")
        if key in value
    )
    return Retry(attempts or 0, codes, use)


def _strategy(value: Any, path: tuple[str, ...], faults: _Faults) -> Strategy | None:
    if _mapping(value, path, faults) is None:
        return None
    mode = value.get("mode")
    if mode not in MODES:
        faults.add((*path, "mode"), f"Invalid 'mode' value. Must be one of: {', '.join(MODES)}")
        return None
    known = {"mode", "on_status_codes", "conditions", "default", "sticky", "cb_config"}
    for key in value.keys() - known:
        faults.add((*path, key), "Unrecognized key")
    codes = None
    if value.get("on_status_codes") is not None:
        codes = _statuses(value["on_status_codes"], (*path, "on_status_codes"), faults)
    return Strategy(mode, codes, {key: value[key] for key in known & value.keys()})


#: Every key with a reader of its own; the name is also the field of `Config`.
_READERS: Final[dict[str, _Reader]] = {
    "strategy": _strategy,
    "name": _text,
    "weight": _weight,
    "provider": _text,
    "virtual_key": _text,
    "api_key": _secret,
    "override_params": _mapping,
    "default_params": _mapping,
    "drop_params": _texts,
    "retry": _retry,
    "request_timeout": _whole(1, 86_400_000),
    "custom_host": _text,
    "forward_headers": _forward_headers,
    "strict_open_ai_compliance": _flag,
    "passthrough": _flag,
}
#: Keys that are accepted and have no meaning for inference here.
_TOLERATED: Final = frozenset({"fetch_integrated_models", "on_status_codes", "targets", "$schema"})


def _setting(value: Any, path: tuple[str, ...], faults: _Faults) -> str | None:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list | dict):
        return None
    _expected("string", value, path, faults)
    return None


def _is_setting(key: str) -> bool:
    return key in _SETTINGS or key.startswith(_SETTING_PREFIXES)


def _level(value: Any, path: tuple[str, ...], faults: _Faults) -> Config:
    if not isinstance(value, dict):
        _expected("object", value, path, faults)
        return Config()
    fields: dict[str, Any] = {}
    settings: dict[str, str] = {}
    for key, item in value.items():
        here = (*path, str(key))
        if key == "options":
            faults.add(
                here,
                "This version of config is not supported in this route. Please migrate to the latest version",
            )
        elif item is None or key in UNBUILT or key in _TOLERATED:
            continue
        elif key in _READERS:
            fields[key] = _READERS[key](item, here, faults)
        elif _is_setting(key):
            text = _setting(item, here, faults)
            if text is not None:
                settings[key] = text
        else:
            faults.add(here, "Unrecognized key")
    if "on_status_codes" in value and "strategy" in fields and fields["strategy"] is not None:
        strategy = fields["strategy"]
        if strategy.on_status_codes is None:
            codes = _statuses(value["on_status_codes"], (*path, "on_status_codes"), faults)
            fields["strategy"] = Strategy(strategy.mode, codes, strategy.raw)
    fields["targets"] = _targets(value.get("targets"), path, faults)
    if fields["targets"] and fields.get("strategy") is None and len(fields["targets"]) > 1:
        faults.add((*path, "strategy"), "Required when there is more than one target")
    if fields.get("strategy") is not None and not fields["targets"] and not path_has_fault(faults, path):
        faults.add((*path, "targets"), "Required when there is a strategy")
    fields["passthrough"] = bool(fields.get("passthrough"))
    unbuilt = tuple(key for key in UNBUILT if value.get(key)) + _unbuilt_strategy(value.get("strategy"))
    return Config(**fields, settings=settings, unbuilt=unbuilt)


def _unbuilt_strategy(value: object) -> tuple[str, ...]:
    """Return the parts of a strategy that parse, but that this version does not have."""
    if not isinstance(value, dict):
        return ()
    sticky = value.get("sticky")
    is_sticky = bool(sticky) and not (isinstance(sticky, dict) and sticky.get("enabled") is False)
    return (("strategy.sticky",) if is_sticky else ()) + (("strategy.cb_config",) if value.get("cb_config") else ())


def path_has_fault(faults: _Faults, path: tuple[str, ...]) -> bool:
    """Return whether `targets` below `path` was already found faulty, so that one fault is not told twice."""
    prefix = f"path: {','.join((*path, 'targets'))}"
    return any(line.startswith(prefix) for line in faults.lines)


def _targets(value: Any, path: tuple[str, ...], faults: _Faults) -> tuple[Config, ...]:
    here = (*path, "targets")
    if value is None:
        return ()
    if not isinstance(value, list):
        _expected("array", value, here, faults)
        return ()
    depth = sum(part == "targets" for part in here)
    most = MAX_ROOT_TARGETS if depth == 1 else MAX_NESTED_TARGETS
    if len(value) > most:
        faults.add(here, f"Array must contain at most {most} element(s)")
        return ()
    if depth > MAX_DEPTH:
        faults.add(here, f"Nested deeper than {MAX_DEPTH} levels")
        return ()
    return tuple(_level(item, (*here, str(index)), faults) for index, item in enumerate(value))


def parse_config(body: object) -> Config:
    """Return the config that a decoded JSON value states.

    Raises InvalidConfig whose `errors` name every fault with its path.
    """
    faults = _Faults()
    config = _level(body, (), faults)
    if isinstance(body, dict) and not body:
        faults.add((), _EMPTY)
    if faults.lines:
        raise InvalidConfig("Invalid config passed", errors=faults.lines)
    return config


_EMPTY: Final = (
    "Invalid configuration. It must have either 'provider' and 'api_key', or 'strategy' and 'targets', "
    "or 'cache', or 'retry', or 'request_timeout'"
)
