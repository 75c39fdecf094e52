"""Who calls, and what is to be done: the results of authentication and resolution."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from data_plane.core.types import Json, Upload
from shared.redact import Secret
from shared.routing.plan import Plan
from shared.schema.rows import ApiKeyRow, OrgRow, WorkspaceRow

#: No model has a longer name; records and refusals repeat it.
MAX_MODEL_CHARS: Final = 512


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: its key, and the organisation and workspace that the key belongs to.

    `signed_by` names the key (`kid`) that signed the token of a caller without an API key; its `key` is what the token
    says, and has no id.
    """

    key: ApiKeyRow
    org: OrgRow
    ws: WorkspaceRow
    signed_by: str | None = None

    def denial_ids(self) -> tuple[str, str, str]:
        """Return the names under which a revocation could list this caller."""
        return f"k:{self.key.id}", f"ws:{self.ws.id}", f"org:{self.org.id}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the request itself says about the provider; used where the plan leaves it open.

    `key` is the caller's own provider key, `settings` are what `x-portkey-azure-…` headers and their like say.
    """

    provider: str | None = None
    virtual_key: str | None = None
    key: Secret | None = None
    custom_host: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """A body that goes to the provider as it came, unread.

    `target` is path and query as in the request line; None sends it to the operation's own path.  An `upload` is a body
    that is still on its way from the caller, and can be sent once.  `is_read` is whether the body is a JSON object that
    the gateway knows, and so may change.
    """

    method: str
    target: str | None
    content: bytes | bytearray = b""
    upload: Upload | None = None
    is_read: bool = False

    def is_spent(self) -> bool:
        """Return whether the body cannot be sent again."""
        return self.upload is not None and self.upload.begun


@dataclass(frozen=True, slots=True)
class Job:
    """What a request asks for, resolved against one snapshot.

    `model` is as the caller wrote it.  `timeout_ms`, `forward_headers`, `strict` and `retries` (extra tries of each
    target) are None unless a header says so.  `body` is empty where the gateway does not read it.
    """

    operation: str
    plan: Plan
    body: Json
    model: str
    stream: bool
    choice: Choice
    metadata: Mapping[str, str] = field(default_factory=dict)
    timeout_ms: int | None = None
    forward_headers: tuple[str, ...] | None = None
    strict: bool | None = None
    keep_bodies: bool = True
    retries: int | None = None
    raw: Raw | None = None
