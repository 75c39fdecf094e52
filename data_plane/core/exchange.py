"""The one mutable object of a request: what its stages found out, for the record that is written at its end.

Only `serve`, `answer` and the attempt loop write to it; nothing reads it but `settle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data_plane.core.types import NO_USAGE, Json, Upload, Usage
from shared.routing.decision import DecisionTrace
from shared.schema.log_record import AttemptRecord, CacheStatus
from shared.trace import Trace

if TYPE_CHECKING:
    from data_plane.core.budget import Held
    from data_plane.core.job import Job, Principal
    from data_plane.core.limit import Limit


@dataclass(slots=True)
class Call:
    """One request as it arrived: `headers` have lower-case names, `target` is path and query as in the request line.

    `body` is filled in once, by ingress, when it has been read within the size limit; or `upload` is, where the body is
    sent on while it arrives; or `form`, and then `body` only describes it.  `client` is the caller's address, empty
    when it has none.
    """

    endpoint: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    received_us: int
    started_s: float
    target: str = ""
    upload: Upload | None = None
    form: Json | None = None
    client: str = ""


@dataclass(slots=True)
class Exchange:
    """What became of a call.  Times ending in `_s` are monotonic seconds; `credential_id` is the virtual key's UUID.

    `held` was set aside in budgets for the attempt, and `taken` for earlier ones that were answered, whose answers
    nobody gets.  Where `cache_status` is that of a hit, `usage` is what the provider counted for the stored answer.
    `limits` are those that an attempt was counted in, and
    `is_admitted` is whether those of the caller are among them.
    """

    id: str
    call: Call
    trace: Trace
    decision: DecisionTrace
    principal: "Principal | None" = None
    job: "Job | None" = None
    status: int = 0
    error_class: str | None = None
    error_type: str | None = None
    provider: str | None = None
    named_by: str = ""
    virtual_key: str | None = None
    credential_id: str = ""
    integration: str | None = None
    price_source: str | None = None
    model_sent: str | None = None
    tier_asked: str = ""
    model_served: str | None = None
    target_path: str | None = None
    usage: Usage = NO_USAGE
    attempts: list[AttemptRecord] = field(default_factory=list)
    retry_count: int = 0
    fallback_count: int = 0
    upstream_s: float = 0.0
    waited_s: float = 0.0
    first_byte_s: float | None = None
    is_streamed: bool = False
    answer_body: Json | None = None
    answer_json: bytes = b""
    answer_chunks: list[bytes] = field(default_factory=list)
    answer_bytes: int = 0
    answer_pieces: int = 0
    kept_bytes: int = 0
    is_cut: bool = False
    bundle: str = ""
    phases_us: dict[str, int] = field(default_factory=dict)
    limits: "tuple[Limit, ...]" = ()
    held: "tuple[Held, ...]" = ()
    taken: "tuple[Held, ...]" = ()
    cache_status: CacheStatus = "DISABLED"
    is_admitted: bool = False

    def begin_attempt(self, path: str) -> None:
        """Note where the next attempt goes; whom the one before it called says nothing about this one."""
        self.target_path = path
        self.named_by = ""
        self.provider = self.virtual_key = self.integration = self.price_source = self.model_served = None
        self.model_sent = None
        self.credential_id = self.tier_asked = ""

    def is_denied(self, denied: frozenset[str]) -> bool:
        """Return whether the caller, or the saved provider that answers, is among the revoked."""
        if self.credential_id and f"vk:{self.credential_id}" in denied:
            return True
        return self.principal is not None and not denied.isdisjoint(self.principal.denial_ids())

    def forget_answer(self) -> None:
        """Drop what is known of an answer that nobody gets: another attempt follows."""
        self.usage = NO_USAGE
        self.first_byte_s = None
        self.answer_body, self.answer_json, self.answer_bytes, self.answer_pieces = None, b"", 0, 0
        self.answer_chunks.clear()
        self.is_streamed = self.is_cut = False
