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


class IngestAnswer(msgspec.Struct, frozen=True):
    """How far a stream is stored: `acked` is the last sequence number that will never be needed again."""

    acked: int


class IngestConflict(msgspec.Struct, frozen=True):
    """The batch begins beyond what is stored; the stream must go on from `expected`."""

    expected: int


class IngestRefusal(msgspec.Struct, frozen=True):
    """Frames of the batch that can never be stored; the rest may be sent again without them."""

    bad_seq: tuple[int, ...]
