"""The compiled plan: a config with inheritance resolved, as data that `walk` walks.

Built once per config version (or per inline config), then read by every request that uses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.redact import Secret
from shared.schema.config import Retry

NO_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Target:
    """A leaf: one place that a request can be sent to.

    `path` is the JSON path reported to callers (`config.targets[0]`).  `provider` may be a provider's id or
    `@slug`; a target without provider and virtual key takes them from the request.  `timeout_ms` None: no limit
    but the gateway's own.
    """

    path: str
    provider: str | None = None
    virtual_key: str | None = None
    api_key: Secret | None = None
    custom_host: str | None = None
    override_params: Mapping[str, Any] = field(default_factory=dict)
    default_params: Mapping[str, Any] = field(default_factory=dict)
    drop_params: tuple[str, ...] = ()
    retry: Retry = NO_RETRY
    timeout_ms: int | None = None
    forward_headers: tuple[str, ...] = ()
    strict: bool | None = None
    passthrough: bool = False
    name: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fallback:
    """Children in order; the next one is tried on these statuses, None meaning every status but 2xx."""

    path: str
    children: tuple["Node", ...]
    on_status_codes: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class LoadBalance:
    """One child, drawn by weight; weights are as given, their sum is positive."""

    path: str
    children: tuple["Node", ...]
    weights: tuple[float, ...]


Node = Target | Fallback | LoadBalance


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole compiled config: its root, its top-level mode, and how it is named in records."""

    root: Node
    mode: str = "single"
    slug: str | None = None
    version: str | None = None


DEFAULT_PLAN = Plan(Target(path="config"))
