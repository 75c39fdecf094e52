"""The plane-to-plane protocol: paths, headers and messages; and the headers that callers meet.

One constant for each header, so that a misspelt one is an import error.
"""

from typing import Final

import msgspec

# Callers' headers (`contract.md` 2.1, 2.2); names in lower case, as servers see them.
API_KEY: Final = "x-portkey-api-key"
PROVIDER: Final = "x-portkey-provider"
VIRTUAL_KEY: Final = "x-portkey-virtual-key"
CONFIG: Final = "x-portkey-config"
CUSTOM_HOST: Final = "x-portkey-custom-host"
TRACE_ID: Final = "x-portkey-trace-id"
SPAN_ID: Final = "x-portkey-span-id"
PARENT_SPAN_ID: Final = "x-portkey-parent-span-id"
SPAN_NAME: Final = "x-portkey-span-name"
METADATA: Final = "x-portkey-metadata"
REQUEST_TIMEOUT: Final = "x-portkey-request-timeout"
FORWARD_HEADERS: Final = "x-portkey-forward-headers"
DEBUG: Final = "x-portkey-debug"
STRICT: Final = "x-portkey-strict-open-ai-compliance"
PACKAGE_VERSION: Final = "x-portkey-package-version"
RUNTIME: Final = "x-portkey-runtime"
RUNTIME_VERSION: Final = "x-portkey-runtime-version"
NITRO_MODE: Final = "x-portkey-nitro-mode"
# The quick-start forms: routing without a config.
CACHE: Final = "x-portkey-cache"
RETRIES: Final = "x-portkey-retry-count"
FALLBACKS: Final = "x-portkey-fallbacks"
PREFIX: Final = "x-portkey-"

RETRY_COUNT: Final = "x-portkey-retry-attempt-count"
CACHE_STATUS: Final = "x-portkey-cache-status"
OPTION_INDEX: Final = "x-portkey-last-used-option-index"
REQUEST_ID: Final = "x-portkey-request-id"
DECISION_ID: Final = "x-portkey-decision-id"
GATEWAY_EXCEPTION: Final = "x-portkey-gateway-exception"

# Between the planes.
DP_PREFIX: Final = "/dp/v1"
AUTHORIZATION: Final = "authorization"
LAST_SEQ: Final = "x-gatehouse-last-seq"
BODY_SHA256: Final = "x-gatehouse-sha256"
MAX_BATCH_BYTES: Final = 1024 * 1024
MAX_STATUS_BYTES: Final = 16 * 1024
#: Asks of one report; a gateway that has more sends several reports.
MAX_ASKS: Final = 500
#: As many of the longest names that callers can choose, each character of which may be six in JSON.
MAX_USAGE_BYTES: Final = 2 * 1024 * 1024


class EnrolRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gateway sends once: keys are raw and base64; `capabilities` lists what this build can do."""

    token: str
    identity_pub: str
    sealing_pub: str
    group_name: str = ""
    capabilities: tuple[str, ...] = ()


class EnrolAnswer(msgspec.Struct, frozen=True):
    """What it is answered: its identity, and the digest of root 1 to compare with the pinned one."""

    org: str
    group: str
    root_sha256: str


class ReportedVersion(msgspec.Struct, frozen=True):
    """A version of the configuration as a gateway reports it."""

    epoch: int = 0
    seq: int = 0


class StatusFault(msgspec.Struct, frozen=True):
    """Why a bundle was not taken: one of the protocol's codes, and where in the bundle."""

    code: str
    detail: str = ""
    section: str = ""
    item: str = ""


class StatusReport(msgspec.Struct, frozen=True):
    """What one gateway instance says of itself; on change and every minute."""

    instance: str
    boot_id: str
    state: str
    version: str = ""
    address: str = ""
    workers: int = 0
    active: ReportedVersion = ReportedVersion()
    persisted: ReportedVersion = ReportedVersion()
    hwm: ReportedVersion = ReportedVersion()
    root_version: int = 0
    sealing_kid: str = ""
    head_age_s: float | None = None
    stale: bool = False
    last_error: StatusFault | None = None
    quarantined: tuple[str, ...] = ()
    spool_bytes: int = 0
    spool_oldest_s: float = 0.0
    dropped: dict[str, int] = {}
    clock_offset_ms: int = 0


#: The state of a gateway that has stopped in order: it counts among the others no more.
STOPPED: Final = "STOPPED"


class StatusAnswer(msgspec.Struct, frozen=True):
    """What it is answered: among how many gateways of its group it is; 0 when that is not known."""

    gateways: int = 0


class IngestAnswer(msgspec.Struct, frozen=True):
    """How far a stream is stored: `acked` is the last sequence number that will never be needed again."""

    acked: int


class IngestConflict(msgspec.Struct, frozen=True):
    """The batch begins beyond what is stored; the stream must go on from `expected`."""

    expected: int


class IngestRefusal(msgspec.Struct, frozen=True):
    """Frames of the batch that can never be stored; the rest may be sent again without them."""

    bad_seq: tuple[int, ...]


class BudgetAsk(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway says of one budget, and asks of it; all amounts are nano-dollars, tokens or requests.

    `budget` is the row's id; of a counter of a policy that is not known yet, `policy` and `value_key` name it, and of
    one that a token brings along `token` says all there is (`shared/token_budget.py`).
    `window` is the one that `spent` and `ceiling` are about, 0 for none: what this run has spent in it, and how far it
    may spend, each since the window began.  `want`: this much more is needed for calls that wait, or none is worth
    having; `wish`: as much would be liked.  With a `ceiling` lower than what was granted the rest is handed back.
    `is_past`: only what was spent in a window that is over is told.
    """

    budget: str = ""
    policy: str = ""
    value_key: str = ""
    token: str = ""
    window: int = 0
    spent: int = 0
    ceiling: int = 0
    want: int = 0
    wish: int = 0
    is_past: bool = False


class UsageReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run of a gateway has spent, and what it needs.  `boot` is the run's id, `seq` grows with every report.

    A report with a `seq` that is not the highest so far changes nothing but what was spent.  `ended`: this run will
    spend no more.  `drained`: no record of an earlier run of this instance waits here any more.
    """

    instance: str
    boot: str
    seq: int
    asks: tuple[BudgetAsk, ...] = ()
    ended: bool = False
    drained: bool = False


class BudgetAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is answered to the ask at the same place: this run may spend up to `ceiling` of `window`, `spent` included.

    `status` is `ok`, `short` (what was wanted is not there; nothing was granted) or `gone` (no such limit any more).
    `limit` and `left` are the budget's own; `is_held`: others hold parts of it that they have not spent.  `recall`:
    somebody needs what this run has not spent.
    """

    status: str = "ok"
    budget: str = ""
    window: int = 0
    spent: int = 0
    ceiling: int = 0
    limit: int = 0
    left: int = 0
    is_held: bool = False
    recall: bool = False


class UsageAnswer(msgspec.Struct, frozen=True):
    """Answers in the order of the asks; None in place of all of them when the report was older than another one."""

    answers: tuple[BudgetAnswer, ...] | None
