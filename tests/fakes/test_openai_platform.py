"""Does the fake refuse what the real one refuses?"""

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.fakes.openai_platform import KEY, ROUTES, make_app

AUTH = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
async def client():
    async with TestClient(TestServer(make_app())) as made:
        yield made


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in ROUTES])
async def test_nothing_is_answered_without_the_key(client, method, path):
    answer = await client.request(method, "/v1" + path.replace("{id}", "x"))
    assert answer.status == 401


@pytest.mark.parametrize(("path", "body"), [
    ("/embeddings", {"model": "m", "input": []}), ("/embeddings", {"model": "m", "input": "x", "provider": "y"}), ("/moderations", {"model": "m"}),
    ("/images/generations", {"model": "m"}), ("/audio/speech", {"model": "m", "input": "x"}), ("/audio/transcriptions", {"model": "m"}),
    ("/images/edits", {"prompt": "x"}), ("/batches", {"input_file_id": "x", "endpoint": "y", "completion_window": "immediate"}),
    ("/batches", {"input_file_id": "x", "endpoint": "y", "completion_window": "24h", "portkey_options": {}}),
    ("/fine_tuning/jobs", {"model": "m", "training_file": "x"}), ("/assistants", {"model": "m"}),
])  # fmt: skip
async def test_what_lacks_something_or_has_too_much_is_refused(client, path, body):
    answer = await client.post("/v1" + path, json=body, headers=AUTH)
    assert (answer.status, "error" in await answer.json()) == (400, True)


async def test_a_form_without_its_file_is_refused(client):
    data = aiohttp.FormData({"model": "m"})
    data._is_multipart = True
    assert (await client.post("/v1/audio/transcriptions", data=data, headers=AUTH)).status == 400


async def test_what_is_not_there_is_a_404(client):
    for path in ("/files/x", "/files/x/content", "/batches/x", "/fine_tuning/jobs/x"):
        assert (await client.get("/v1" + path, headers=AUTH)).status == 404
