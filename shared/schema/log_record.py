"""One request's record, as a gateway ships it and the control plane stores it.

Versioned by `v`: fields may be added with a default, never renamed.  Units are in the names: `_ms`, `_us`, `_nano`
(nano-dollars); times are Unix microseconds.  Token totals include their parts: `tok_in` contains cached tokens,
`tok_out` contains reasoning.  A cost that is not known is `None` with `price_status` "unpriced", never 0.  An answer
from the cache costs 0 and no tokens, with `price_status` "cached"; `saved_nano` is what the provider would have cost.
"""

from typing import Any, Final, Literal

import msgspec

VERSION = 1
PREVIEW_CHARS = 200

PriceStatus = Literal["priced", "unpriced", "free", "override", "cached", "none"]
CacheStatus = Literal["HIT", "SEMANTIC HIT", "MISS", "SEMANTIC MISS", "REFRESH", "DISABLED"]
#: Of an answer that no provider was asked for.
CACHE_HITS: Final = frozenset({"HIT", "SEMANTIC HIT"})
StepKind = Literal["config", "condition", "loadbalance", "sticky", "breaker", "fallback", "retry", "attempt", "refusal"]
BodyState = Literal["stored", "dropped", "gateway", "none"]


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One upstream call: which target, what came of it, when it began (after the request's start) and how long."""

    n: int
    provider: str
    path: str
    status: int
    start_us: int
    dur_ms: int
    error: str | None = None
    model: str | None = None


class Rejected(msgspec.Struct, frozen=True, array_like=True):
    """An alternative that was not taken, and why."""

    what: str
    why: str


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a decision; `path` is where in the config, `us` when: microseconds after the request's start.

    `step` is a `StepKind` today; a reader takes any word, because the writer may be newer.
    """

    step: str
    path: str = ""
    chose: str = ""
    why: str = ""
    facts: dict[str, Any] = {}
    rejected: tuple[Rejected, ...] = ()
    us: int = 0


class Charged(msgspec.Struct, frozen=True, array_like=True):
    """What a request took from a window of a budget: nano-dollars, tokens or requests."""

    budget: str
    window: int
    amount: int


class LogRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request, written once at its end.  `charges` were paid from leases of `boot`, a run of the gateway."""

    id: str
    ts_us: int
    org: str
    ws: str
    endpoint: str
    status: int
    v: int = VERSION
    # identity
    api_key: str | None = None
    user_ref: str | None = None
    gateway: str = ""
    bundle: str = ""
    # call
    method: str = "POST"
    url: str = ""
    provider: str | None = None
    virtual_key: str | None = None
    integration: str | None = None
    model_requested: str | None = None
    model_served: str | None = None
    stream: bool = False
    error_class: str | None = None
    error_type: str | None = None
    # usage
    tok_in: int = 0
    tok_in_cache_read: int = 0
    tok_in_cache_write: int = 0
    tok_out: int = 0
    tok_out_reasoning: int = 0
    usage_source: Literal["provider", "estimated", "none"] = "none"
    # what is not in the columns above: audio tokens (parts of the totals), images, milliseconds, characters, searches
    units: dict[str, int] = {}
    # money
    cost_nano: int | None = None
    saved_nano: int = 0
    price_id: str | None = None
    price_status: PriceStatus = "none"
    boot: str = ""
    charges: tuple[Charged, ...] = ()
    # time
    lat_ms: int = 0
    ttft_ms: int | None = None
    upstream_ms: int = 0
    gw_us: int = 0
    phases_us: dict[str, int] = {}
    # routing
    mode: str = "single"
    config: str | None = None
    config_version: str | None = None
    target_path: str | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    decision: tuple[Step, ...] = ()
    cache_status: str = "DISABLED"
    retry_n: int = 0
    fallback_n: int = 0
    # trace
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    span_name: str | None = None
    # text
    in_preview: str | None = None
    out_preview: str | None = None
    body_state: BodyState = "none"
    body_bytes: int = 0
    metadata: dict[str, str] = {}
    sdk: str | None = None
    runtime: str | None = None
    # bodies, only under the payload policy "full": {"request": {...}, "response": {...}}
    bodies: dict[str, Any] | None = None
