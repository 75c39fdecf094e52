"""Which rows does a batch of frames make?  Pure: checks the sequence, decodes, and names what can never be stored.

A value that the database would refuse is found here, one frame at a time: a batch that fails as a whole would be sent
again for ever.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import zstandard

from shared import frames
from shared.errors import BadRequest
from shared.ids import parse_uuid
from shared.routing.decision import MAX_FACTS, MAX_REJECTED, MAX_STEPS
from shared.schema.log_record import AttemptRecord, LogRecord, Step

Json = dict[str, Any]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: From 2000 to 2200: anything else is no time at which a request was made.
LEAST_TS_US: Final = 946_684_800_000_000
MOST_TS_US: Final = 7_258_118_400_000_000
MAX_TEXT_CHARS: Final = 4096
MAX_STEP_CHARS: Final = 512
#: The trace id is indexed, and an index entry has a page's room at most.
MAX_TRACE_CHARS: Final = 255
MAX_COUNT: Final = 2**63 - 1
MAX_STATUS: Final = 2**31 - 1
#: More budgets than hold for one call.
MAX_CHARGES: Final = 100
BODY_LEVEL: Final = 3

_RECORD: Final = msgspec.msgpack.Decoder(LogRecord)

_TEXTS: Final = (
    "user_ref", "gateway", "bundle", "endpoint", "provider", "virtual_key", "model_requested", "model_served",
    "error_class", "error_type", "usage_source", "price_id", "price_status", "config", "config_version", "target_path",
    "cache_status", "span_id", "parent_span_id", "in_preview", "out_preview", "body_state",
)  # fmt: skip
_COUNTS: Final = (
    "tok_in", "tok_in_cache_read", "tok_in_cache_write", "tok_out", "tok_out_reasoning", "cost_nano", "saved_nano",
    "lat_ms", "ttft_ms", "upstream_ms", "gw_us", "retry_n", "fallback_n", "body_bytes",
)  # fmt: skip
_DETAIL: Final = (
    "v", "method", "url", "integration", "phases_us", "mode", "span_name", "sdk", "runtime", "units",
)  # fmt: skip


class Payload(msgspec.Struct, frozen=True):
    """A PAYLOAD frame: the bodies of the record `id`, as JSON text or as decoded values."""

    id: str
    ts_us: int
    org: str
    ws: str
    request: Any = None
    response: Any = None


class Gap(msgspec.Struct, frozen=True):
    """A DROPPED frame: `n` records of the sequence numbers `start`..`end` are lost."""

    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")
    n: int = 0


_PAYLOAD: Final = msgspec.msgpack.Decoder(Payload)
_GAP: Final = msgspec.msgpack.Decoder(Gap)


class _Unfit(ValueError):
    """The frame can never be stored."""


@dataclass(slots=True)
class Rows:
    """What the frames of a batch become; `bad_seq` are frames that can never be stored.

    `charges` are (organisation, budget, window, run of the gateway, amount).
    """

    records: list[Json] = field(default_factory=list)
    attempts: list[Json] = field(default_factory=list)
    bodies: list[tuple[Any, ...]] = field(default_factory=list)
    charges: list[tuple[UUID, UUID, int, UUID, int]] = field(default_factory=list)
    dropped: int = 0
    bad_seq: list[int] = field(default_factory=list)
    days: set[date] = field(default_factory=set)


def read_sequence(body: bytes, first_seq: int, last_seq: int) -> list[tuple[int, frames.Frame]]:
    """Return (first sequence number it stands for, frame) for each frame of `body`.

    Raises BadRequest unless the frames are whole and cover `first_seq`..`last_seq` without a hole.
    """
    found: list[tuple[int, frames.Frame]] = []
    expected = first_seq
    try:
        for frame in frames.iter_frames(body):
            start = _gap_of(frame).start if frame.kind == frames.DROPPED else frame.seq
            if start != expected or frame.seq < start:
                raise BadRequest(f"The frames are not in sequence: {start} came where {expected} was due.")
            found.append((start, frame))
            expected = frame.seq + 1
    except frames.FrameBroken as fault:
        raise BadRequest(f"The batch has no whole frame at byte {fault.offset}.") from None
    if not found or expected != last_seq + 1 or last_seq >= MAX_COUNT:
        raise BadRequest("The frames do not end where the batch says.")
    return found


def _gap_of(frame: frames.Frame) -> Gap:
    try:
        gap = _GAP.decode(frame.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadRequest(f"The frame {frame.seq} does not say what was lost.") from None
    if gap.end != frame.seq or gap.n < 0:
        raise BadRequest(f"The frame {frame.seq} does not say what was lost.")
    return gap


def lost_in(frame: frames.Frame, next_seq: int) -> int:
    """Return how many records a DROPPED frame counts from `next_seq` on; those before were counted earlier."""
    gap = _gap_of(frame)
    return min(gap.n, gap.end - max(gap.start, next_seq) + 1)


def rows_of(
    sequence: list[tuple[int, frames.Frame]], next_seq: int, stream_id: UUID, organisations: frozenset[str]
) -> Rows:
    """Return the rows of the frames from `next_seq` on; those before are stored already."""
    rows = Rows()
    for _, frame in sequence:
        if frame.seq < next_seq:
            continue
        try:
            if frame.kind == frames.RECORD:
                _add_record(rows, frame, stream_id, organisations)
            elif frame.kind == frames.PAYLOAD:
                _add_body(rows, frame, stream_id, organisations)
            elif frame.kind == frames.DROPPED:
                rows.dropped += lost_in(frame, next_seq)
        # Nesting without end and text that is none are faults of the frame too.
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
            rows.bad_seq.append(frame.seq)
    return rows


def _text(value: str | None, most: int = MAX_TEXT_CHARS) -> str | None:
    # PostgreSQL cannot hold NUL; prompts can.
    return None if value is None else value[:most].replace("\x00", "\ufffd")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(str(name)): _clean(item) for name, item in value.items()}
    return _count(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _count(value: int | None, most: int = MAX_COUNT) -> int | None:
    if value is not None and not 0 <= value <= most:
        raise _Unfit
    return value


def _moment(ts_us: int) -> datetime:
    if not LEAST_TS_US <= ts_us < MOST_TS_US:
        raise _Unfit
    return EPOCH + timedelta(microseconds=ts_us)


def _owned(org: str, organisations: frozenset[str]) -> UUID:
    if org not in organisations:
        raise _Unfit
    return UUID(org)


def _add_record(rows: Rows, frame: frames.Frame, stream_id: UUID, organisations: frozenset[str]) -> None:
    record = _RECORD.decode(frame.payload)
    moment = _moment(record.ts_us)
    place: Json = {"ts": moment.isoformat(), "stream_id": str(stream_id), "seq": frame.seq}
    log_id = str(UUID(record.id))
    row: Json = {
        **place,
        "id": log_id,
        "organisation_id": str(_owned(record.org, organisations)),
        "workspace_id": str(UUID(record.ws)),
        "api_key_id": str(UUID(record.api_key)) if record.api_key else None,
        "stream": record.stream,
        "status": _count(record.status, MAX_STATUS),
        "trace_id": _text(record.trace_id, MAX_TRACE_CHARS),
        "metadata": _clean(record.metadata),
        "detail": {name: _clean(getattr(record, name)) for name in _DETAIL},
        "decision": [_step(step) for step in record.decision[:MAX_STEPS]] or None,
    }
    row |= {name: _text(getattr(record, name)) for name in _TEXTS}
    row |= {name: _count(getattr(record, name)) for name in _COUNTS}
    attempts = [_attempt_row(attempt, place, log_id) for attempt in record.attempts]
    rows.records.append(row)
    rows.attempts += attempts
    rows.charges += _charges(record)
    rows.days.add(moment.date())


def _charges(record: LogRecord) -> list[tuple[UUID, UUID, int, UUID, int]]:
    """Return what a record took from budgets; a charge that cannot be one is no reason to lose the record."""
    boot = parse_uuid(record.boot)
    found: list[tuple[UUID, UUID, int, UUID, int]] = []
    if boot is None:
        return found
    for charge in record.charges[:MAX_CHARGES]:
        budget = parse_uuid(charge.budget)
        if budget is not None and 0 < charge.window <= MAX_STATUS and 0 < charge.amount <= MAX_COUNT:
            found.append((UUID(record.org), budget, charge.window, boot, charge.amount))
    return found


def _step(step: Step) -> Json:
    """Return a step of a decision as it is kept: in bounds, and of values that JSON has, whatever callers sent."""
    row: Json = {name: _text(getattr(step, name), MAX_STEP_CHARS) for name in ("step", "path", "chose", "why")}
    facts = list(step.facts.items())[:MAX_FACTS]
    row["facts"] = {_text(name, MAX_STEP_CHARS): _fact(value) for name, value in facts}
    row["rejected"] = [
        [_text(item.what, MAX_STEP_CHARS), _text(item.why, MAX_STEP_CHARS)] for item in step.rejected[:MAX_REJECTED]
    ]
    row["us"] = max(0, step.us)
    return {name: value for name, value in row.items() if value or name == "step"}


def _fact(value: Any) -> Any:
    # Unlike counts, facts come from callers and may be any number: none of them makes a record unfit.
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return [_fact(item) for item in value[:MAX_FACTS]]
    return _text(str(value), MAX_STEP_CHARS)


def _attempt_row(attempt: AttemptRecord, place: Json, log_id: str) -> Json:
    return {
        **place,
        "log_id": log_id,
        "n": _count(attempt.n, MAX_STATUS),
        "provider": _text(attempt.provider),
        "target_path": _text(attempt.path),
        "status": _count(attempt.status, MAX_STATUS),
        "error": _text(attempt.error),
        # A clock that steps back between two readings gives a start before zero.
        "start_us": _count(max(0, attempt.start_us)),
        "dur_ms": _count(max(0, attempt.dur_ms)),
        "model": _text(attempt.model),
    }


def _json_text(part: Any) -> bytes:
    """Return a body as JSON text: gateways send the text itself; raises msgspec.DecodeError when it is none."""
    if isinstance(part, bytes):
        msgspec.json.decode(part)
        return part
    return msgspec.json.encode(part)


def _add_body(rows: Rows, frame: frames.Frame, stream_id: UUID, organisations: frozenset[str]) -> None:
    payload = _PAYLOAD.decode(frame.payload)
    moment = _moment(payload.ts_us)
    owner = _owned(payload.org, organisations)
    pack: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=BODY_LEVEL).compress
    packed = [None if part is None else pack(_json_text(part)) for part in (payload.request, payload.response)]
    rows.bodies.append((moment, stream_id, frame.seq, UUID(payload.id), owner, UUID(payload.ws), *packed))
    rows.days.add(moment.date())
