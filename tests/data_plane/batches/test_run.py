"""Batches run against a provider that fails, refuses and hangs."""

import asyncio
import time
from contextlib import asynccontextmanager

import orjson
import pytest

from data_plane.batches import run
from data_plane.batches.lines import answer_line
from data_plane.batches.model import BATCH_PREFIX, ENDED, BatchRow, new_id
from data_plane.batches.run import BatchRunner
from data_plane.batches.store import BatchStore
from shared.crypto.tokens import parse_key
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at
from tests.data_plane.pipeline.deps_kit import deps_of
from tests.fakes.provider import FakeProvider, Reply

WS = kit.WS
KEY_ID = parse_key(kit.KEY_TEXT).key_id
GOOD = {
    "object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}  # fmt: skip


def text(count, **changes):
    asked = (
        {"custom_id": f"c{n}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "@main/e", "input": str(n)}}
        for n in range(count)
    )
    return b"\n".join(orjson.dumps({**line, **changes}) for line in asked)


@pytest.fixture
def store(tmp_path):
    return BatchStore(tmp_path / "batches", 10**9)


def created(store, content, **changes):
    if content is not None:
        draft = store.draft(WS)
        draft.write(content)
        changes.setdefault("input_file", draft.keep("in.jsonl", "batch").id)
    now = int(time.time())
    fields = {
        "id": new_id(BATCH_PREFIX),
        "ws": WS,
        "key": KEY_ID,
        "endpoint": "/v1/embeddings",
        "created": now,
        "expires": now + 60,
    }
    return store.create(BatchRow(**{**fields, **changes}))


def runner_of(store, deps, **changes):
    return BatchRunner(
        store, deps, **{"concurrency": 4, "max_line_bytes": 10_000, "keep_days": 30, "retry_s": 0.0, **changes}
    )


async def ended(store, row):
    async with asyncio.timeout(20):
        while store.batch(WS, row.id).status not in ENDED:
            await asyncio.sleep(0.01)
    return store.batch(WS, row.id)


def lines(store, file_id):
    return [orjson.loads(line) for line in store.content(WS, file_id).read_bytes().splitlines()] if file_id else []


@asynccontextmanager
async def running(store, deps, **changes):
    runner = runner_of(store, deps, **changes)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        await runner.stop(5)
        await task


@asynccontextmanager
async def deps_at(script, **changes):
    async with FakeProvider(script) as fake, deps_of(kit.snapshot(**at(fake), **changes)) as deps:
        yield fake, deps


async def test_every_line_is_answered_counted_and_recorded(store):
    async with deps_at([Reply(json=GOOD)] * 30) as (fake, deps), running(store, deps):
        done = await ended(store, created(store, text(30), headers={"x-portkey-metadata": '{"team":"red"}'}))
        assert (done.status, done.counts.total, done.counts.completed, done.counts.failed) == ("completed", 30, 30, 0)
        answers = lines(store, done.output_file)
        assert {line["custom_id"] for line in answers} == {f"c{n}" for n in range(30)}
        assert all(line["response"]["status_code"] == 200 and line["response"]["body"]["data"] for line in answers)
        assert (done.tokens_in, done.error_file, len(fake.seen)) == (90, None, 30)
        records = [record for record, _, _ in deps.recorder.items]
        assert len(records) == 30
        assert {(record.endpoint, record.metadata["team"], record.api_key) for record in records} == {
            ("embed", "red", KEY_ID)
        }
        assert {record.id for record in records} == {line["response"]["request_id"] for line in answers}


async def test_what_fails_for_now_is_tried_again_and_what_fails_for_good_is_its_result(store):
    tries = {}

    def script(seen):
        said = seen.json["input"]
        tries[said] = tries.get(said, 0) + 1
        if said == "0" and tries[said] < 3:
            return Reply(503, json={"error": {"message": "busy"}})
        if said == "1":
            return Reply(400, json={"error": {"message": "bad input"}})
        if said == "2":
            return Reply(500, json={"error": {"message": "down"}})
        return Reply(json=GOOD)

    async with deps_at(script) as (_, deps), running(store, deps):
        done = await ended(store, created(store, text(4)))
        assert (done.status, done.counts.completed, done.counts.failed) == ("completed", 2, 2)
        wrong = {line["custom_id"]: line["response"] for line in lines(store, done.error_file)}
        assert {name: told["status_code"] for name, told in wrong.items()} == {"c1": 400, "c2": 500}
        assert "bad input" in wrong["c1"]["body"]["error"]["message"]
        assert tries == {"0": 3, "1": 1, "2": run.TRIES, "3": 1}


async def test_a_line_that_cannot_be_sent_hinders_no_other(store):
    content = text(1) + b"\n{broken\n\n" + text(1) + b"\n" + orjson.dumps({"custom_id": "s", "body": {"stream": True}})
    async with deps_at([Reply(json=GOOD)]) as (fake, deps), running(store, deps):
        done = await ended(store, created(store, content))
        told = {line["custom_id"]: line["error"]["message"] for line in lines(store, done.error_file)}
        assert (done.counts.total, done.counts.completed, done.counts.failed, len(fake.seen)) == (4, 1, 3, 1)
        assert "not a request" in told["line-2"]
        assert "used before" in told["c0"]
        assert "stream" in told["s"]


async def test_a_line_beyond_the_limit_is_an_error_and_the_next_one_is_read(store):
    huge = orjson.dumps({"custom_id": "huge", "body": {"input": "x" * 30_000}})
    async with deps_at([Reply(json=GOOD)]) as (_, deps), running(store, deps):
        done = await ended(store, created(store, huge + b"\n" + text(1)))
        assert [line["custom_id"] for line in lines(store, done.output_file)] == ["c0"]
        assert [line["custom_id"] for line in lines(store, done.error_file)] == ["line-1"]


async def test_after_a_kill_only_what_has_no_answer_is_asked_again(store):
    row = created(store, text(6))
    output, errors = store.results(row)
    output.write_bytes(
        b"".join(answer_line(f"c{n}", "r", 200, b"{}") + b"\n" for n in range(3))
        + answer_line("c3", "r", 200, b"{}")[:-4]
    )
    errors.write_bytes(answer_line("c4", "r", 400, b"{}") + b"\n")
    store.save(row.moved("in_progress", 1, counts=run.Counts(6, 3, 1)))
    async with deps_at([Reply(json=GOOD)] * 2) as (fake, deps), running(store, deps):
        done = await ended(store, row)
        assert sorted(seen.json["input"] for seen in fake.seen) == ["3", "5"]
        assert sorted(line["custom_id"] for line in lines(store, done.output_file)) == ["c0", "c1", "c2", "c3", "c5"]
        assert (done.counts.total, done.counts.completed, done.counts.failed) == (6, 5, 1)


async def test_a_kill_while_the_results_are_moved_asks_nothing_again(store):
    row = created(store, text(2))
    moving = row.moved(
        "finalizing", 1, ending="completed", output_file="pk_file_" + "1" * 32, error_file="pk_file_" + "2" * 32
    )
    store.results(row)[0].write_bytes(b'{"custom_id":"c0"}\n')
    store.finish(moving, 1)
    store.save(moving)
    (store._folder / "open" / row.id).write_text(WS)
    async with deps_at([]) as (fake, deps), running(store, deps):
        done = await ended(store, row)
        assert (done.status, fake.seen, lines(store, done.output_file)) == ("completed", [], [{"custom_id": "c0"}])


async def test_a_stopped_runner_waits_for_its_answers_and_another_goes_on(store):
    async with deps_at(lambda seen: Reply(json=GOOD, delay_s=0.2)) as (fake, deps):
        row = created(store, text(40))
        async with running(store, deps, concurrency=2):
            async with asyncio.timeout(10):
                while len(fake.seen) < 3:
                    await asyncio.sleep(0.01)
        asked = len(fake.seen)
        assert store.batch(WS, row.id).counts.completed == asked
        async with running(store, deps, concurrency=40):
            done = await ended(store, row)
        assert (done.counts.completed, len(fake.seen)) == (40, 40)


async def test_a_batch_can_be_ended_and_keeps_what_it_has(store):
    async with deps_at(lambda seen: Reply(json=GOOD, delay_s=0.05)) as (fake, deps):
        row = created(store, text(2000))
        async with running(store, deps, concurrency=2):
            async with asyncio.timeout(10):
                while len(fake.seen) < 4:
                    await asyncio.sleep(0.01)
            store.cancel(row)
            done = await ended(store, row)
        assert done.status == "cancelled"
        assert len(lines(store, done.output_file)) == done.counts.completed == len(fake.seen) < 2000


async def test_a_revoked_key_ends_its_batches(store):
    async with (
        deps_at(lambda seen: Reply(json=GOOD, delay_s=0.05)) as (fake, deps),
        running(store, deps, concurrency=2),
    ):
        row = created(store, text(2000))
        async with asyncio.timeout(10):
            while len(fake.seen) < 4:
                await asyncio.sleep(0.01)
        deps.holder.deny(frozenset({f"k:{KEY_ID}"}))
        done = await ended(store, row)
        assert (done.status, done.faults[0].code, len(fake.seen) < 2000) == ("failed", "invalid_api_key", True)


@pytest.mark.parametrize(("content", "changes", "status", "code"), [
    (b"\n\n", {}, "failed", "empty_file"), (b"a\n" * (run.MAX_LINES + 1), {}, "failed", "too_many_requests"),
    (None, {"input_file": "pk_file_" + "0" * 32}, "failed", "file_not_found"), (text(1), {"expires": 1}, "expired", "batch_expired"),
])  # fmt: skip
async def test_a_batch_that_cannot_run_says_why(store, content, changes, status, code):
    async with deps_at([]) as (fake, deps), running(store, deps):
        done = await ended(store, created(store, content, **changes))
        assert (done.status, done.faults[0].code, fake.seen) == (status, code, [])


async def test_lines_can_lie_at_a_provider(store):
    def script(seen):
        return (
            Reply(body=text(2), headers={"content-type": "application/octet-stream"})
            if seen.method == "GET"
            else Reply(json=GOOD)
        )

    async with deps_at(script) as (fake, deps), running(store, deps):
        done = await ended(store, created(store, None, input_file="file-abc", headers={"x-portkey-provider": "@main"}))
        assert (done.status, done.counts.completed) == ("completed", 2)
        assert fake.seen[0].target == "/v1/files/file-abc/content"


async def test_lines_that_a_provider_does_not_give_fail_the_batch(store):
    script = [Reply(404, json={"error": {"message": "no such file"}})]
    async with deps_at(script) as (_, deps), running(store, deps):
        done = await ended(store, created(store, None, input_file="file-abc", headers={"x-portkey-provider": "@main"}))
        assert (done.status, done.faults[0].code) == ("failed", "file_not_read")
