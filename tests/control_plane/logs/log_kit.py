"""Batches as gateways send them: records and bodies of a tenant, framed and numbered."""

import time
from uuid import UUID, uuid4

import msgspec

from control_plane.logs.ingest import ingest_batch
from control_plane.logs.models import LogRow
from shared.frames import DROPPED, PAYLOAD, RECORD, pack_frame
from shared.ids import uuid7_at
from shared.schema.log_record import LogRecord

US = 1_000_000


def now_us():
    """The time now in Unix microseconds."""
    return time.time_ns() // 1000


def make_record(tenant, *, ts_us=None, **fields):
    """A record of the tenant's default workspace, unless `fields` say otherwise."""
    ts_us = now_us() if ts_us is None else ts_us
    usual = {
        "id": str(uuid7_at(ts_us // 1000, uuid4().bytes)), "ts_us": ts_us, "org": str(tenant.organisation.pk),
        "ws": str(tenant.workspace.pk), "endpoint": "chat", "status": 200, "url": "/v1/chat/completions",
        "provider": "openai", "model_requested": "gpt-4o-mini", "model_served": "gpt-4o-mini-2024-07-18",
        "tok_in": 1200, "tok_out": 340, "usage_source": "provider", "cost_nano": 384_000, "price_status": "priced",
        "lat_ms": 812, "ttft_ms": 190, "upstream_ms": 800, "gw_us": 2500, "trace_id": "trace-1",
        "target_path": "config.targets[1]",
    }  # fmt: skip
    return LogRecord(**{**usual, **fields})


def record_frame(seq, record):
    """A RECORD frame."""
    return pack_frame(seq, RECORD, msgspec.msgpack.encode(record))


def payload_frame(seq, record, request, response):
    """A PAYLOAD frame with the bodies of `record`."""
    body = {"id": record.id, "ts_us": record.ts_us, "org": record.org, "ws": record.ws}
    return pack_frame(seq, PAYLOAD, msgspec.msgpack.encode({**body, "request": request, "response": response}))


def gap_frame(first, last, n=None):
    """A DROPPED frame for `first`..`last`."""
    note = {"from": first, "to": last, "n": last - first + 1 if n is None else n, "bytes": 10, "reason": "damaged"}
    return pack_frame(last, DROPPED, msgspec.msgpack.encode(note))


class Gateway:
    """One gateway that serves `tenants`; remembers nothing."""

    def __init__(self, *tenants, group_id=None):
        self.group_id = group_id or uuid4()
        self.organisations = frozenset(str(tenant.organisation.pk) for tenant in tenants)

    def send(self, frames, *, stream_id: UUID, first=1, last=None):
        """Upload a batch; `last` is by default what the number of frames says."""
        return ingest_batch(
            group_id=self.group_id, organisations=self.organisations, stream_id=stream_id, first_seq=first,
            last_seq=first + len(frames) - 1 if last is None else last, body=b"".join(frames),
        )  # fmt: skip

    def send_records(self, *records, stream_id=None, first=1):
        """Upload records, by default as a stream of their own."""
        frames = [record_frame(first + number, record) for number, record in enumerate(records)]
        return self.send(frames, stream_id=stream_id or uuid4(), first=first)


def store(tenant, *, request=None, response=None, **fields):
    """A stored record of `tenant`, with its bodies when they are given; returns its row."""
    record = make_record(tenant, **{**({"body_state": "stored"} if request else {}), **fields})
    gateway = Gateway(tenant)
    gateway.send_records(record)
    if request is not None:
        gateway.send([payload_frame(1, record, request, response)], stream_id=uuid4())
    return LogRow.objects.get(id=record.id)
