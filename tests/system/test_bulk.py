"""A batch of each cloud through real processes: both planes, a saved account, OpenAI's own client, a strict cloud."""

import asyncio
import json
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import httpx
import openai
import pytest

from tests.data_plane.pipeline.bulk.bulk_kit import ask, converse_answer, lines_of
from tests.data_plane.providers.test__vertex_bulk import GEMINI, SETTINGS, gemini_answer
from tests.fakes.aws_bulk import ROLE, FakeAwsBulk
from tests.fakes.clouds import BASE
from tests.fakes.google_bulk import ROOT, TOKEN, FakeGoogleBulk
from tests.fakes.provider import FakeProvider
from tests.system.system_kit import wait_for

NOVA = "amazon.nova-pro-v1:0"
MIB = 1024 * 1024
#: A file of many slices, and what it may add to the memory of the worker that translates it.
FILE_LINES = 12_000
FILE_BOUND = 80 * MIB


@contextmanager
def playing(cloud):
    """Yield the address of a cloud that runs in a thread of this process."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()
    fakes = []

    async def serve():
        async with FakeProvider(cloud) as fake:
            fakes.append(fake)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield fakes[0].origin
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def account(system, provider, host, settings, **fields):
    made = {
        "name": f"bulk {provider}", "provider": provider, "workspace_id": system.demo["workspace_id"], "custom_host": host,
        "configurations": settings, **fields,
    }  # fmt: skip
    slug = system.admin("POST", "/virtual-keys", made)["slug"]
    system.wait_current()
    return openai.OpenAI(
        base_url=f"{system.gateway}/v1",
        api_key=system.key,
        default_headers={"x-portkey-provider": f"@{slug}"},
        max_retries=0,
    )


def output(system, client, batch_id):
    headers = {"authorization": f"Bearer {system.key}", **client.default_headers}
    told = httpx.get(
        f"{system.gateway}/v1/batches/{batch_id}/output", headers={name: str(value) for name, value in headers.items()}
    )
    assert told.status_code == 200, told.text
    return lines_of(told.content)


def recorded(system, *endpoints):
    sql = "SELECT endpoint FROM logs_record WHERE endpoint = ANY(%s)"
    found = {row[0] for row in system.query(sql, list(endpoints))}
    return found == set(endpoints)


def memory(system):
    """The most that any process of the gateway holds, in bytes."""
    root = system.programs["gateway"].process.pid
    children = [int(pid) for pid in Path(f"/proc/{root}/task/{root}/children").read_text().split()]
    return max(int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024 for pid in children)


@pytest.mark.timeout(120)
def test_a_batch_of_bedrock_is_stored_run_and_told_in_openais_words(system):
    settings = {
        "aws_region": "eu-west-1", "aws_access_key_id": BASE[0], "aws_secret_access_key": BASE[1], "aws_s3_bucket": "in-bucket",
    }  # fmt: skip
    cloud = FakeAwsBulk()
    with playing(cloud) as host, account(system, "bedrock", host, settings) as client:
        said = {"x-portkey-provider-model": NOVA}
        stored = client.files.create(file=("in.jsonl", ask(1) + b"\n" + ask(2)), purpose="batch", extra_headers=said)
        batch = client.batches.create(
            input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h",
            extra_body={"role_arn": ROLE, "model": NOVA},
        )  # fmt: skip
        cloud.run(unquote(batch.id), converse_answer)
        assert client.batches.retrieve(batch.id).status == "completed"
        assert [line["custom_id"] for line in output(system, client, batch.id)] == ["ask-1", "ask-2"]
        assert cloud.refusals == []
        wait_for(lambda: recorded(system, "files", "batches"), "the calls are recorded")


@pytest.mark.timeout(120)
def test_a_large_file_is_translated_in_little_memory(system):
    settings = {
        "aws_region": "eu-west-1", "aws_access_key_id": BASE[0], "aws_secret_access_key": BASE[1], "aws_s3_bucket": "in-bucket",
    }  # fmt: skip
    cloud = FakeAwsBulk()
    content = b"\n".join(ask(number, "x" * 8000) for number in range(FILE_LINES))
    with playing(cloud) as host, account(system, "bedrock", host, settings) as client:
        before = memory(system)
        said = {"x-portkey-provider-model": NOVA}
        stored = client.files.create(file=("in.jsonl", content), purpose="batch", extra_headers=said)
        assert (stored.bytes > FILE_BOUND, memory(system) - before < FILE_BOUND) == (True, True)
        assert len(lines_of(cloud.objects[unquote(stored.id).removeprefix("s3://")][0])) == FILE_LINES


@pytest.mark.timeout(120)
def test_a_batch_of_vertex_is_stored_run_and_told_in_openais_words(system):
    settings = {**SETTINGS, "vertex_storage_bucket_name": "my-bucket"}
    cloud = FakeGoogleBulk()
    with playing(cloud) as host, account(system, "vertex-ai", host + ROOT, settings, key=TOKEN) as client:
        said = {"x-portkey-provider-model": GEMINI}
        stored = client.files.create(file=("in.jsonl", ask(1) + b"\n" + ask(2)), purpose="batch", extra_headers=said)
        batch = client.batches.create(
            input_file_id=stored.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_body={"model": GEMINI},
        )
        cloud.run(batch.id, gemini_answer)
        assert client.batches.retrieve(batch.id).request_counts.completed == 2
        told = output(system, client, batch.id)
        assert [line["response"]["body"]["choices"][0]["message"]["content"] for line in told] == [
            "re: hé 1",
            "re: hé 2",
        ]
        assert cloud.refusals == []
        assert json.loads(client.files.content(stored.id).text.splitlines()[0])["request"]["labels"] == {
            "custom_id": "ask-1"
        }
