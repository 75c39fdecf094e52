"""The compiled plan: a config with inheritance resolved, as data that `walk` walks.

Built once per config version (or per inline config), then read by every request that uses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.redact import Secret
from shared.schema.config import Retry
from shared.schema.params import ParamPath
from shared.schema.query import Condition
from shared.schema.strategy import BreakerPolicy, StickyFields

NO_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Target:
    """A leaf: one place that a request can be sent to.

    `path` is the JSON path reported to callers (`config.targets[0]`).  `provider` may be a provider's id or
    `@slug`; a target without provider and virtual key takes them from the request.  `timeout_ms` None: no limit
    but the gateway's own.  `breaker_id` names the breaker's state across workers.
    """

    path: str
    provider: str | None = None
    virtual_key: str | None = None
    api_key: Secret | None = None
    custom_host: str | None = None
    override_params: Mapping[str, Any] = field(default_factory=dict)
    default_params: Mapping[str, Any] = field(default_factory=dict)
    drop_params: tuple[ParamPath, ...] = ()
    retry: Retry = NO_RETRY
    timeout_ms: int | None = None
    forward_headers: tuple[str, ...] = ()
    strict: bool | None = None
    passthrough: bool = False
    name: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    breaker: BreakerPolicy | None = None
    breaker_id: str = ""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Children in order; the next one is tried on these statuses, None meaning every status but 2xx.

    `guarded`: some leaf below has a circuit breaker.
    """

    path: str
    children: tuple["Node", ...]
    on_status_codes: frozenset[int] | None
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class LoadBalance:
    """One child, drawn by weight, or kept by `sticky`; weights are as given, their sum is positive.

    `cumulative` are the weights' sums up to each child.  `id` names the choice across workers.
    """

    path: str
    children: tuple["Node", ...]
    weights: tuple[float, ...]
    cumulative: tuple[float, ...]
    guarded: bool = False
    sticky: StickyFields | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Conditional:
    """The child of the first condition that holds, else `default`; None is a refusal."""

    path: str
    arms: tuple[tuple[Condition, "Node"], ...]
    default: "Node | None"


Node = Target | Fallback | LoadBalance | Conditional


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole compiled config: its root, its top-level mode, and how it is named in records."""

    root: Node
    mode: str = "single"
    slug: str | None = None
    version: str | None = None


DEFAULT_PLAN = Plan(Target(path="config"))
