"""What the gateway reads from its environment."""

import os
from pathlib import Path
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
ADMIN_URL: Final = _env.text(
    "GATEHOUSE_ADMIN_URL", "",
    "Control plane to which the gateway relays Admin API calls; empty: it relays none, and what it does not serve is a"
    " provider's.",
)  # fmt: skip
ENROLMENT_TOKEN: Final = _env.text(
    "GATEHOUSE_ENROLMENT_TOKEN", "", "One-time token; needed only until this gateway has its identity.", secret=True
)
ROOT_SHA256: Final = _env.text(
    "GATEHOUSE_ROOT_SHA256", "", "SHA-256 of the control plane's first root of trust, given along with the token."
)
GROUP_NAME: Final = _env.text("GATEHOUSE_GATEWAY_GROUP", "", "Name shown for this gateway's group.")
TRUSTED_PROXIES: Final = _env.networks(
    "GATEHOUSE_TRUSTED_PROXIES",
    "Networks of proxies and gateways before this process, whose x-forwarded-for names the caller; comma-separated, "
    "such as 10.0.0.0/8.",
)
REDIS_URL: Final = _env.text(
    "GATEHOUSE_GATEWAY_REDIS_URL", "",
    "Redis or Valkey that the gateways of a group share, where calls are counted against limits of rate; empty: each"
    " keeps to its share.",
    secret=True,
)  # fmt: skip
GATEWAYS: Final = _env.integer(
    "GATEHOUSE_GATEWAYS", 1,
    "At least so many gateways share each limit of rate where there is no Redis, or while it is away; how many there"
    " are is learned from the control plane.", least=1, most=10_000,
)  # fmt: skip
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
CLOUD_IDENTITY: Final = _env.choice(
    "GATEHOUSE_CLOUD_IDENTITY", "saved", ("off", "saved", "any"),
    "Who may call clouds by this gateway's own identity: nobody (off), saved providers, or any caller.",
)  # fmt: skip
CLOUD_TOKEN_FOLDERS: Final = tuple(
    Path(folder)
    for folder in _env.words(
        "GATEHOUSE_CLOUD_TOKEN_FOLDERS", "",
        "Folders whose files external accounts may name as the proof of who they are, comma-separated.",
    )
)  # fmt: skip
#: What the clouds' own programs read to learn who they are; name, meaning, whether it is secret.
_CLOUD: Final = (
    ("AWS_ACCESS_KEY_ID", "The gateway's own identity at AWS: an access key.", False),
    ("AWS_SECRET_ACCESS_KEY", "The gateway's own identity at AWS: the access key's secret.", True),
    ("AWS_SESSION_TOKEN", "The gateway's own identity at AWS: the token of a temporary access key.", True),
    ("AWS_REGION", "Region whose token service is asked for the gateway's own identity at AWS.", False),
    ("AWS_DEFAULT_REGION", "The same, when AWS_REGION is not set.", False),
    ("AWS_ENDPOINT_URL_STS", "Address of AWS's token service, when it is not that of the region.", False),
    ("AWS_ROLE_ARN", "Role of the gateway in its cluster (EKS).", False),
    ("AWS_ROLE_SESSION_NAME", "Name of the gateway's sessions in that role.", False),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "File with the cluster's proof for that role.", False),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "Path at which a container of ECS gets its access key.", False),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "Address at which a container gets its access key.", False),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "What the container shows there.", True),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "File with what the container shows there.", False),
    ("AWS_EC2_METADATA_DISABLED", "`true`: the machine's metadata service is not asked.", False),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "Address of that service, when it is not the usual one.", False),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "`IPv6`: that service is asked at its IPv6 address.", False),
    ("AZURE_TENANT_ID", "Tenant of the gateway's workload identity at Azure.", False),
    ("AZURE_CLIENT_ID", "Client of the gateway's workload identity at Azure.", False),
    ("AZURE_FEDERATED_TOKEN_FILE", "File with the cluster's proof for that identity.", False),
    ("AZURE_AUTHORITY_HOST", "Where Azure signs in, when it is not the public cloud.", False),
    ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "Address of Azure's metadata service, when not the usual one.", False),
    ("IDENTITY_ENDPOINT", "Address at which App Service and Container Apps give a managed identity.", False),
    ("IDENTITY_HEADER", "What the gateway shows there.", True),
    ("GOOGLE_APPLICATION_CREDENTIALS", "File with the gateway's own account at Google; else the machine's.", False),
    ("GCE_METADATA_HOST", "Host of Google's metadata service, when it is not the usual one.", False),
)
CLOUD_VARIABLES: Final = {name: _env.text(name, "", meaning, secret=is_secret) for name, meaning, is_secret in _CLOUD}
MAX_BODY_BYTES: Final = _env.integer(
    "GATEHOUSE_MAX_BODY_BYTES", 32 * 1024 * 1024, "Largest request body, in bytes.", least=1024
)
MAX_UPLOAD_BYTES: Final = _env.integer(
    "GATEHOUSE_MAX_UPLOAD_BYTES", 2 * 1024 * 1024 * 1024, "Largest body that is sent on while it arrives, in bytes.",
    least=1024,
)  # fmt: skip
REALTIME_MAX_MESSAGE_BYTES: Final = _env.integer(
    "GATEHOUSE_REALTIME_MAX_MESSAGE_BYTES", 16 * 1024 * 1024, "Largest message of a realtime session, in bytes.",
    least=1024,
)  # fmt: skip
REALTIME_IDLE_S: Final = _env.number(
    "GATEHOUSE_REALTIME_IDLE_S", 600.0, "Seconds without a message after which a realtime session ends."
)
REALTIME_LONGEST_S: Final = _env.number(
    "GATEHOUSE_REALTIME_LONGEST_S", 3900.0, "Seconds that a realtime session may last; OpenAI's own limit is an hour."
)
REALTIME_SESSIONS: Final = _env.integer(
    "GATEHOUSE_REALTIME_SESSIONS", 1000, "Most realtime sessions that one worker process has open.", least=1
)
BATCH_DIR: Final = _env.path(
    "GATEHOUSE_BATCH_DIR", str(STATE_DIR / "batches"),
    "Folder for files and batches of the gateway's own; gateways that share it run each other's batches.",
)  # fmt: skip
BATCH_MAX_BYTES: Final = _env.integer(
    "GATEHOUSE_BATCH_MAX_BYTES", 20 * 1024**3, "Most disk that files and batches may take, in bytes.", least=1024
)
BATCH_KEEP_DAYS: Final = _env.integer(
    "GATEHOUSE_BATCH_KEEP_DAYS", 30, "Days that files, and batches that have ended, are kept.", least=1
)
BATCH_CONCURRENCY: Final = _env.integer(
    "GATEHOUSE_BATCH_CONCURRENCY", 25, "Calls of batches that run at a time; 0 switches the gateway's own batches off.",
    most=1000,
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
