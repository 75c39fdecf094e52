"""Batches over HTTP, with OpenAI's SDK: the gateway's own, and those of a provider."""

import openai
import orjson
import pytest

from data_plane.batches.store import BatchStore
from data_plane.http import batches
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway
from tests.fakes.provider import FakeProvider, Reply

OWN = {"x-portkey-provider": "gatehouse"}


@pytest.fixture
def store(tmp_path):
    return BatchStore(tmp_path / "batches", 1_000_000)


def client_of(gw, headers=None):
    return openai.AsyncOpenAI(base_url=gw.url + "/v1", api_key=kit.KEY_TEXT, default_headers=headers, max_retries=0)


def kept(store):
    draft = store.draft(kit.WS)
    draft.write(b'{"custom_id":"a","body":{}}')
    return draft.keep("in.jsonl", "batch").id


def create(client, store, **changes):
    fields = {"input_file_id": kept(store), "endpoint": "/v1/chat/completions", "completion_window": "immediate"}
    return client.batches.create(**{**fields, **changes})


async def test_a_batch_is_made_read_listed_and_cancelled(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw, OWN) as client:
        made = await create(
            client, store, metadata={"job": "night"}, extra_headers={"x-portkey-metadata": '{"team":"red"}'}
        )
        assert (made.status, made.object, made.metadata) == ("validating", "batch", {"job": "night"})
        row = store.batch(kit.WS, made.id)
        assert orjson.loads(row.headers["x-portkey-metadata"]) == {"team": "red", "batch_id": made.id}
        assert (row.key, kit.KEY_TEXT in str(row)) == (str(kit.KEY_ID), False)
        assert "x-portkey-provider" not in row.headers
        assert (await client.batches.retrieve(made.id)).id == made.id
        assert [batch.id async for batch in client.batches.list()] == [made.id]
        assert (await client.batches.cancel(made.id)).status == "cancelling"


async def test_options_in_the_body_are_headers(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        options = {"x-portkey-virtual-key": "main", "x-portkey-metadata": {"a": "b"}}
        made = await create(client, store, extra_body={"portkey_options": options})
        headers = store.batch(kit.WS, made.id).headers
        assert headers["x-portkey-virtual-key"] == "main"
        assert orjson.loads(headers["x-portkey-metadata"])["a"] == "b"


@pytest.mark.parametrize(("changes", "told"), [
    ({"endpoint": "/v1/audio/speech"}, "endpoint"), ({"input_file_id": "../x"}, "input_file_id"), ({"metadata": {"a": 1}}, "metadata"),
    ({"extra_body": {"portkey_options": {"authorization": "x"}}}, "portkey_options"), ({"extra_body": {"portkey_options": []}}, "portkey_options"),
    ({"extra_body": {"portkey_options": {"x-portkey-api-key": "x"}}}, "portkey_options"),
    ({"extra_headers": {"x-portkey-aws-secret-access-key": "x"}}, "no secrets"),
    ({"extra_headers": {"x-portkey-config": '{"provider":"openai","api_key":"sk"}'}}, "no secrets"),
    ({"extra_body": {"portkey_options": {"x-portkey-azure-ad-token": "x"}}}, "no secrets"),
    ({"extra_headers": {"x-portkey-api-key": kit.KEY_TEXT, "Authorization": "Bearer sk-mine"}}, "no provider key is kept"),
])  # fmt: skip
async def test_a_batch_that_cannot_be_kept_is_a_clear_400(tmp_path, store, changes, told):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        with pytest.raises(openai.BadRequestError, match=told):
            await create(client, store, **changes)
        assert store.unfinished() == []


async def test_a_file_that_is_not_there_is_a_404(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        with pytest.raises(openai.NotFoundError):
            await create(client, store, input_file_id="pk_file_" + "0" * 32)
        for path in ("retrieve", "cancel"):
            with pytest.raises(openai.NotFoundError):
                await getattr(client.batches, path)("pk_batch_" + "0" * 32)


async def test_a_workspace_has_so_many_batches_at_a_time(tmp_path, store, monkeypatch):
    monkeypatch.setattr(batches, "MAX_OPEN", 1)
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        await create(client, store)
        with pytest.raises(openai.RateLimitError):
            await create(client, store)


async def test_the_output_of_an_own_batch_is_its_lines(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        made = await create(client, store)
        status, body, _ = await gw.get(f"/v1/batches/{made.id}/output")
        assert (status, "validating" in orjson.loads(body)["message"]) == (404, True)
        row = store.batch(kit.WS, made.id)
        store.results(row)[0].write_bytes(b'{"custom_id":"a"}\n')
        store.finish(row.moved("finalizing", 1, ending="completed", output_file="pk_file_" + "1" * 32), 2)
        status, body, headers = await gw.get(f"/v1/batches/{made.id}/output")
        assert (status, body, headers["content-type"]) == (200, b'{"custom_id":"a"}\n', "application/octet-stream")


async def test_a_providers_batch_is_the_providers(tmp_path, store):
    script = [
        Reply(json={"id": "batch_1"}), Reply(json={"object": "list", "data": []}), Reply(json={"id": "batch_1"}), Reply(json={"id": "batch_1"}),
        Reply(json={"id": "batch_1", "output_file_id": "file-9"}), Reply(body=b'{"custom_id":"a"}\n', headers={"content-type": "application/jsonl"}),
    ]  # fmt: skip
    async with FakeProvider(script) as fake, gateway(tmp_path, batches=store, **at(fake)) as gw:
        named = {"x-portkey-provider": "@main"}
        async with client_of(gw, named) as client:
            options = {"x-portkey-provider": "@main"}
            fields = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            await client.batches.create(**fields, extra_body={"portkey_options": options, "provider_options": {"a": 1}})
            await client.batches.list()
            await client.batches.retrieve("batch_1")
            await client.batches.cancel("batch_1")
        status, body, _ = await gw.get("/v1/batches/batch_1/output", headers=named)
        assert (status, body) == (200, b'{"custom_id":"a"}\n')
        assert fake.seen[0].json == {**fields, "provider_options": {"a": 1}}
        assert [(seen.method, seen.path) for seen in fake.seen] == [
            ("POST", "/v1/batches"), ("GET", "/v1/batches"), ("GET", "/v1/batches/batch_1"), ("POST", "/v1/batches/batch_1/cancel"),
            ("GET", "/v1/batches/batch_1"), ("GET", "/v1/files/file-9/content"),
        ]  # fmt: skip
        assert store.unfinished() == []


@pytest.mark.parametrize(("reply", "status"), [
    (Reply(404, json={"error": {"message": "none"}}), 404), (Reply(json={"id": "batch_1", "output_file_id": None}), 404), (Reply(json=[]), 404),
])  # fmt: skip
async def test_a_provider_without_an_output_says_so(tmp_path, store, reply, status):
    async with FakeProvider([reply]) as fake, gateway(tmp_path, batches=store, **at(fake)) as gw:
        answered, _, _ = await gw.get("/v1/batches/batch_1/output", headers={"x-portkey-provider": "@main"})
        assert (answered, len(fake.seen)) == (status, 1)


async def test_options_in_a_fine_tuning_job_name_the_provider(tmp_path, store):
    async with (
        FakeProvider([Reply(json={"id": "ftjob-1"})]) as fake,
        gateway(tmp_path, batches=store, **at(fake)) as gw,
    ):
        body = {"model": "gpt-4o-mini", "training_file": "file-1", "portkey_options": {"x-portkey-provider": "@main"}}
        status, _, _ = await gw.send(body, path="/v1/fine_tuning/jobs")
        assert (status, fake.seen[0].json) == (200, {"model": "gpt-4o-mini", "training_file": "file-1"})
