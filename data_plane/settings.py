"""What the gateway reads from its environment."""

import os
from typing import Final

from shared.env import Env
from shared.hosts import trusted_hosts

_env: Final = Env("data_plane.settings")

GATEWAY_HOST: Final = _env.text("GATEHOUSE_GATEWAY_HOST", "127.0.0.1", "Address that the gateway listens on.")
GATEWAY_PORT: Final = _env.integer("GATEHOUSE_GATEWAY_PORT", 8787, "Port that the gateway listens on.", most=65535)
WORKERS: Final = _env.integer(
    "GATEHOUSE_GATEWAY_WORKERS", min(4, os.cpu_count() or 1), "Number of worker processes that share the port.",
    least=1, most=256,
)  # fmt: skip
STATE_DIR: Final = _env.path(
    "GATEHOUSE_GATEWAY_STATE_DIR", "gateway-state", "Folder for identity, bundles and spool; keep it across restarts."
)
EDGE_URL: Final = _env.text(
    "GATEHOUSE_EDGE_URL", "http://127.0.0.1:8001", "Where the control plane's edge answers gateways."
)
ENROLMENT_TOKEN: Final = _env.text(
    "GATEHOUSE_ENROLMENT_TOKEN", "", "One-time token; needed only until this gateway has its identity.", secret=True
)
ROOT_SHA256: Final = _env.text(
    "GATEHOUSE_ROOT_SHA256", "", "SHA-256 of the control plane's first root of trust, given along with the token."
)
GROUP_NAME: Final = _env.text("GATEHOUSE_GATEWAY_GROUP", "", "Name shown for this gateway's group.")
ENVIRONMENT: Final = _env.text(
    "GATEHOUSE_ENVIRONMENT", "production", "`development` trusts this machine as a custom host; all else is production."
)
TRUSTED_CUSTOM_HOSTS: Final = trusted_hosts(
    _env.text(
        "TRUSTED_CUSTOM_HOSTS", "",
        "Private hosts that may be providers, comma-separated; unset, this machine in development and none otherwise.",
    ) or None,
    production=ENVIRONMENT != "development",
)  # fmt: skip
MAX_BODY_BYTES: Final = _env.integer(
    "GATEHOUSE_MAX_BODY_BYTES", 32 * 1024 * 1024, "Largest request body, in bytes.", least=1024
)
MAX_UPLOAD_BYTES: Final = _env.integer(
    "GATEHOUSE_MAX_UPLOAD_BYTES", 2 * 1024 * 1024 * 1024, "Largest body that is sent on while it arrives, in bytes.",
    least=1024,
)  # fmt: skip
BLOCK_INLINE: Final = _env.boolean(
    "BLOCK_INLINE_CONFIG", default=False, meaning="Accept saved configs and providers only, from everybody."
)
METADATA_HEADERS: Final = tuple(
    name.lower() for name in _env.words("HEADERS_TO_METADATA", "", "Request headers that are copied into the metadata.")
)
RETRY_JITTER: Final = _env.boolean(
    "GATEHOUSE_RETRY_JITTER", default=False, meaning="Spread the waits before retries over half to whole their length."
)
PROPAGATES: Final = frozenset(
    _env.words(
        "GATEHOUSE_PROPAGATE", "traceparent",
        "Trace headers that providers get: traceparent, baggage (which tells them the metadata), or `none`.",
    )
)  # fmt: skip
SPOOL_MAX_BYTES: Final = _env.integer(
    "GATEHOUSE_SPOOL_MAX_BYTES", 1024 * 1024 * 1024, "Most disk that records may take while they wait, in bytes.",
    least=16 * 1024 * 1024,
)  # fmt: skip
PAYLOAD_SPOOL_MAX_BYTES: Final = _env.integer(
    "GATEHOUSE_PAYLOAD_SPOOL_MAX_BYTES", 1024 * 1024 * 1024,
    "Most disk that bodies may take while they wait, in bytes.", least=16 * 1024 * 1024,
)  # fmt: skip
PAYLOAD_KEEP_DAYS: Final = _env.integer(
    "GATEHOUSE_PAYLOAD_KEEP_DAYS", 30, "Days that bodies stay in the gateway's own store.", least=1
)
PROPAGATION_WAIT_S: Final = _env.number(
    "GATEHOUSE_PROPAGATION_WAIT_S", 1.0, "Longest wait of a request for an object created a moment ago, in seconds."
)
MAX_BACKOFF_S: Final = _env.number(
    "GATEHOUSE_MAX_BACKOFF_S", 60.0, "Longest pause between tries to reach a control plane that is away, in seconds."
)
SHUTDOWN_S: Final = _env.number("GATEHOUSE_SHUTDOWN_S", 20.0, "Seconds that running requests get at shutdown.")
LOG_LEVEL: Final = _env.text("GATEHOUSE_LOG_LEVEL", "info", "Least level of log lines: debug, info, warning, error.")
