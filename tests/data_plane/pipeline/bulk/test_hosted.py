"""Calls about files and jobs that a provider keeps itself, where they are nobody's in particular; see the providers' tests."""

import asyncio

import aiohttp
import orjson
import pytest

from data_plane.pipeline.bulk import hosted
from data_plane.providers.registry import load_providers
from tests.data_plane import kit
from tests.data_plane.providers.test__cohere_jobs import cohere, text
from tests.data_plane.providers.test__fireworks_jobs import LINES, fireworks
from tests.fakes.hosted_files import FakeFireworksJobs
from tests.fakes.provider import Reply

NAMED = {"x-portkey-provider": "@cloud"}


async def test_a_call_is_logged_as_what_it_is_about(tmp_path):
    async with cohere(tmp_path) as stage:
        await stage.upload(text(1))
        await stage.client.batches.list()
        assert [(record.endpoint, record.provider, record.status) for record in stage.records] == [
            ("files", "cohere", 200), ("batches", "cohere", 200),
        ]  # fmt: skip


async def test_a_file_without_a_form_is_a_400(tmp_path):
    async with cohere(tmp_path) as stage:
        status, _, _ = await stage.gw.send({"a": 1}, NAMED, path="/v1/files")
        assert (status, stage.fake.seen) == (400, [])


@pytest.mark.parametrize("reply", [Reply(200, body=b"no json"), Reply(200, json=[1]), Reply(200, json={})])
async def test_an_answer_that_is_none_is_a_502(tmp_path, reply):
    async with cohere(tmp_path) as stage:
        stage.cloud.next_reply = reply
        status, body, _ = await stage.gw.get("/v1/files/a", NAMED)
        assert (status, b"Invalid response received from cohere" in body) == (502, True)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(429, json={"message": "slow down"}), 429),
        (Reply(500, body=b"<html>"), 500),
        (Reply(302, headers={"location": "/x"}), 400),
    ],
)
async def test_an_error_of_the_provider_keeps_its_status(tmp_path, reply, status):
    async with cohere(tmp_path) as stage:
        stage.cloud.next_reply = reply
        told, body, _ = await stage.gw.get("/v1/batches", NAMED)
        assert (told, orjson.loads(body)["provider"], len(stage.fake.seen)) == (status, "cohere", 1)


async def test_a_file_without_content_has_none(tmp_path):
    async with cohere(tmp_path) as stage:
        stored = await stage.upload(text(1))
        status, body, _ = await stage.gw.get(f"/v1/files/{stored.id}/content", NAMED)
        assert (status, b"no content yet" in body) == (404, True)


async def test_a_caller_who_hangs_up_leaves_no_empty_file(tmp_path):
    class Waiting(FakeFireworksJobs):
        def __init__(self):
            super().__init__()
            self.asked, self.dropped = asyncio.Event(), asyncio.Event()

        def datasets(self, seen, rest, query):
            if rest.endswith(":upload"):
                self.asked.set()
                return Reply(hang=True)
            if seen.method == "DELETE":
                self.dropped.set()
            return super().datasets(seen, rest, query)

    async with fireworks(tmp_path, Waiting()) as stage:
        form = aiohttp.FormData()
        form.add_field("purpose", "fine-tune")
        form.add_field("file", LINES, filename="in.jsonl")
        headers = {"x-portkey-api-key": kit.KEY_TEXT, **NAMED}
        call = asyncio.create_task(stage.gw.session.post(stage.gw.url + "/v1/files", data=form, headers=headers))
        await stage.cloud.asked.wait()
        call.cancel()
        await asyncio.wait_for(stage.cloud.dropped.wait(), 10)
        await asyncio.gather(*hosted._dropping)
        assert stage.cloud.files == {}


def test_who_keeps_files_is_told_apart_from_who_stores_them():
    kept = {name for name, provider in load_providers().items() if isinstance(provider.bulk, hosted.Hosted)}
    assert kept == {"cohere", "fireworks-ai"}
