"""The gateway's own files, with OpenAI's SDK; every other file is the provider's."""

import aiohttp
import openai
import orjson
import pytest

from data_plane.batches.store import BatchStore
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway
from tests.fakes.provider import FakeProvider, Reply

OWN = {"x-portkey-provider": "gatehouse"}


@pytest.fixture
def store(tmp_path):
    return BatchStore(tmp_path / "batches", 1_000_000)


def client_of(gw, headers=OWN):
    return openai.AsyncOpenAI(base_url=gw.url + "/v1", api_key=kit.KEY_TEXT, default_headers=headers, max_retries=0)


async def sent(gw, data, headers=OWN):
    async with gw.session.post(
        gw.url + "/v1/files", data=data, headers={"x-portkey-api-key": kit.KEY_TEXT, **headers}
    ) as answer:
        return answer.status, orjson.loads(await answer.read())


async def test_a_file_is_kept_listed_read_and_deleted(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        made = await client.files.create(file=("in.jsonl", b'{"a":1}\n' * 1000), purpose="batch")
        assert (made.bytes, made.filename, made.purpose, made.status) == (8000, "in.jsonl", "batch", "processed")
        assert (await client.files.retrieve(made.id)).id == made.id
        assert [file.id async for file in client.files.list(purpose="batch")] == [made.id]
        assert [file.id async for file in client.files.list(purpose="vision")] == []
        assert (await client.files.content(made.id)).content == b'{"a":1}\n' * 1000
        assert (await client.files.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.files.content(made.id)


async def test_files_come_page_by_page(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        made = {(await client.files.create(file=("f", b"x"), purpose="batch")).id for _ in range(5)}
        assert {file.id async for file in client.files.list(limit=2)} == made
        with pytest.raises(openai.BadRequestError):
            await client.files.list(limit=0)


async def test_another_workspace_sees_nothing_of_it(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, client_of(gw) as client:
        draft = store.draft("other")
        row = draft.keep("theirs", "batch")
        assert [file async for file in client.files.list()] == []
        with pytest.raises(openai.NotFoundError):
            await client.files.content(row.id)


async def test_a_providers_files_are_the_providers(tmp_path, store):
    script = [
        Reply(json={"id": "file-1", "object": "file"}),
        Reply(json={"object": "list", "data": []}),
        Reply(json={"id": "file-1"}),
    ]
    async with FakeProvider(script) as fake, gateway(tmp_path, batches=store, **at(fake)) as gw:
        async with client_of(gw, {"x-portkey-provider": "@main"}) as client:
            await client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
            await client.files.list()
            await client.files.retrieve("file-1")
        assert [(seen.method, seen.path) for seen in fake.seen] == [
            ("POST", "/v1/files"),
            ("GET", "/v1/files"),
            ("GET", "/v1/files/file-1"),
        ]
        assert store.files(kit.WS) == []


@pytest.mark.parametrize(("fields", "told"), [
    ([("purpose", b"batch", {})], "file"), ([("file", b"x", {"filename": "a"})], "purpose"), ([("file", b"x", {}), ("purpose", b"b", {})], "file"),
    ([("file", b"x", {"filename": "a"}), ("file", b"x", {"filename": "b"}), ("purpose", b"b", {})], "one file"),
    ([("purpose", b"b" * 5000, {}), ("file", b"x", {"filename": "a"})], "too long"),
])  # fmt: skip
async def test_a_form_that_lacks_something_keeps_nothing(tmp_path, store, fields, told):
    data = aiohttp.FormData()
    for name, value, more in fields:
        data.add_field(name, value.decode() if not more else value, **more)
    data._is_multipart = True
    async with gateway(tmp_path, batches=store) as gw:
        status, body = await sent(gw, data)
        assert (status in {400, 413}, told in body["message"]) == (True, True), body
        assert store.files(kit.WS) == []
        assert list((tmp_path / "batches").rglob("content")) == []


async def test_what_is_no_form_is_refused(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw:
        assert (await sent(gw, b"{}", {**OWN, "content-type": "application/json"}))[0] == 400
        assert (await sent(gw, b"--x", {**OWN, "content-type": "multipart/form-data; boundary=b"}))[0] == 400


async def test_a_full_disk_is_said_to_be_full(tmp_path):
    store = BatchStore(tmp_path / "batches", 1000)
    data = aiohttp.FormData({"purpose": "batch"})
    data.add_field("file", b"x" * 5000, filename="a")
    async with gateway(tmp_path, batches=store) as gw:
        status, body = await sent(gw, data)
        assert (status, body["error"]["code"]) == (507, "storage_full")


async def test_a_gateway_without_batches_keeps_no_files(tmp_path):
    async with gateway(tmp_path) as gw:
        status, body = await sent(gw, aiohttp.FormData({"purpose": "batch"}))
        assert (status, "switched off" in body["message"]) == (400, True)


async def test_nobody_without_a_key_gets_anything(tmp_path, store):
    async with gateway(tmp_path, batches=store) as gw, gw.session.get(gw.url + "/v1/files", headers=OWN) as answer:
        assert answer.status == 401
