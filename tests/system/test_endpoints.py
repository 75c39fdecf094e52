"""Every endpoint once, with the official SDKs, through real processes, at a strict provider; and what its record says."""

import json
import os
import subprocess
import sys

import openai
import pytest

from tests.fakes.openai_platform import KEY
from tests.system.system_kit import ROOT, fetch, wait_for


@pytest.fixture(scope="module")
def accounts(system):
    """Return the names of saved accounts at one strict host, by the provider that it stands for."""
    command = [sys.executable, "-m", "tests.fakes.openai_platform"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            host = f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
            slugs = {}
            for provider in ("openai", "together-ai", "mistral-ai"):
                made = {"name": f"At {provider}", "provider": provider, "key": KEY, "custom_host": host}
                made["workspace_id"] = system.demo["workspace_id"]
                slugs[provider] = system.admin("POST", "/virtual-keys", made)["slug"]
            system.wait_current()
            yield slugs
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def slug(accounts):
    """A saved account at a strict OpenAI."""
    return accounts["openai"]


@pytest.fixture(scope="module")
def client(system, slug):
    """OpenAI's SDK, whose calls that name no model go to the account, too."""
    headers = {"x-portkey-provider": f"@{slug}"}
    with openai.OpenAI(
        base_url=f"{system.gateway}/v1", api_key=system.key, max_retries=0, default_headers=headers
    ) as made:
        yield made


@pytest.fixture
def record(system):
    """Return the newest record of an endpoint, once there is one that `fits`."""

    def find(endpoint, fits="true"):
        sql = f"SELECT status, tok_in, tok_out, detail->'units', virtual_key FROM logs_record WHERE endpoint = %s AND {fits} ORDER BY ts DESC LIMIT 1"
        return wait_for(lambda: system.query(sql, endpoint), f"a record of {endpoint}")[0]

    return find


def test_embeddings(client, slug, record):
    answer = client.embeddings.create(model=f"@{slug}/text-embedding-3-small", input=["one two", "three"])
    assert [len(item.embedding) for item in answer.data] == [3, 3]
    plain = client.embeddings.create(model=f"@{slug}/text-embedding-3-small", input="one", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx([0.03, 0.5, -0.25])
    assert record("embed", "tok_in = 3")[4] == slug


def test_completions(client, slug, record):
    assert client.completions.create(model=f"@{slug}/gpt-3.5-turbo-instruct", prompt="x").choices[0].text == " done"
    assert record("complete")[:3] == (200, 2, 1)


def test_moderations_with_and_without_a_model(client, slug, record):
    assert client.moderations.create(input="x").model == "omni-moderation-latest"
    assert (
        client.moderations.create(input="x", model=f"@{slug}/omni-moderation-2024-09-26").model
        == "omni-moderation-2024-09-26"
    )
    assert record("moderate")[0] == 200


def test_pictures_are_made_edited_and_varied(client, slug, record):
    assert len(client.images.generate(model=f"@{slug}/gpt-image-1", prompt="a cat", n=2).data) == 2
    assert record("image")[1:4] == (5, 100, {"images": 2})
    files = [("a.png", b"1", "image/png"), ("b.png", b"2", "image/png")]
    assert len(client.images.edit(model=f"@{slug}/gpt-image-1", image=files, prompt="a hat").data) == 1
    assert record("edit_image")[3] == {"images": 1}
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert len(client.images.create_variation(image=("a.png", b"1", "image/png"), n=3).data) == 3
    assert record("vary_image")[3] == {"images": 3}


def test_speech(client, slug, record):
    answer = client.audio.speech.create(model=f"@{slug}/tts-1", voice="alloy", input="hello")
    assert answer.content == b"ID3hello"
    assert record("speech")[3] == {"characters": 5}


def test_transcriptions_and_translations(client, slug, record):
    sound = ("a.mp3", b"\x00\xff" * 50_000, "audio/mpeg")
    answer = client.audio.transcriptions.create(model=f"@{slug}/whisper-1", file=sound)
    assert answer.text == "a.mp3 has 100000 bytes"
    assert record("transcribe")[3] == {"audio_ms": 2000}
    assert (
        client.audio.transcriptions.create(model=f"@{slug}/whisper-1", file=sound, response_format="srt")
        == "a.mp3 has 100000 bytes\n"
    )
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert client.audio.translations.create(model=f"@{slug}/whisper-1", file=sound).text == "a.mp3 has 100000 bytes"
    assert record("translate")[0] == 200


def test_files_and_batches_of_the_provider(system, client, slug):
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}
    file = client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
    assert file.id in [one.id for one in client.files.list()]
    assert client.files.retrieve(file.id).bytes == len(json.dumps(line))
    assert json.loads(client.files.content(file.id).content) == line
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert batch.status == "validating"
    assert client.batches.retrieve(batch.id).status == "completed"
    assert batch.id in [one.id for one in client.batches.list()]
    assert client.batches.cancel(batch.id).status == "cancelling"
    status, told, _ = fetch(
        f"{system.gateway}/v1/batches/{batch.id}/output", key=system.key, headers={"x-portkey-provider": f"@{slug}"}
    )
    assert (status, told["custom_id"]) == (200, "a")
    assert client.files.delete(file.id).deleted


def test_fine_tuning_jobs(client, record):
    file = client.files.create(file=("train.jsonl", b"{}"), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file.id)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "queued"
    assert [event.message for event in client.fine_tuning.jobs.list_events(job.id)] == ["queued"]
    assert record("proxy", "detail->>'url' = '/v1/fine_tuning/jobs'")[0] == 200


def test_assistants(client):
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert client.beta.assistants.create(model="gpt-4o").id == "asst_1"


def test_the_providers_models(client):
    assert [model.id for model in client.models.list()] == ["gpt-4o"]


def test_what_a_provider_does_not_have_is_a_clear_400(system, slug):
    body = {"model": f"@{slug}/m", "query": "x", "documents": ["a"]}
    status, told, _ = fetch(f"{system.gateway}/v1/rerank", key=system.key, body=body)
    assert (status, told["message"]) == (400, "rerank is not supported by openai")


def test_what_a_request_lacks_is_named(system):
    body = {"model": "@demo/m", "query": "x", "documents": "a"}
    status, told, _ = fetch(f"{system.gateway}/v1/rerank", key=system.key, body=body)
    assert (status, told["error"]["param"]) == (400, "documents")


def test_a_provider_refusal_keeps_its_status_and_names_the_fault(client, slug):
    with pytest.raises(openai.BadRequestError, match="invalid") as caught:
        client.embeddings.create(model=f"@{slug}/e", input=[""])
    assert (caught.value.param, "openai error" in caught.value.message) == ("input", True)


def test_tokens_are_counted_before_they_are_sent(system, slug):
    body = {"model": f"@{slug}/gpt-4o", "messages": [{"role": "user", "content": "hello there"}]}
    status, told, _ = fetch(f"{system.gateway}/v1/messages/count_tokens", key=system.key, body=body)
    assert (status, told) == (200, {"input_tokens": 7, "estimated": True})


def test_documents_are_ranked(system, accounts, record):
    body = {
        "model": f"@{accounts['together-ai']}/m",
        "query": "cat",
        "documents": ["a dog", "a cat and a cat"],
        "return_documents": True,
    }
    status, told, _ = fetch(f"{system.gateway}/v1/rerank", key=system.key, body=body)
    assert (status, [rank["index"] for rank in told["results"]]) == (200, [1, 0])
    assert told["results"][0]["document"] == {"text": "a cat and a cat"}
    assert record("rerank", "tok_in = 7")[0] == 200


def test_documents_are_read(system, accounts, record):
    body = {
        "model": f"@{accounts['mistral-ai']}/mistral-ocr",
        "document": {"type": "document_url", "document_url": "x"},
    }
    status, told, _ = fetch(f"{system.gateway}/v1/ocr", key=system.key, body=body)
    assert (status, told["pages"][0]["markdown"]) == (200, "# x")
    assert record("ocr", "status = 200")[0] == 200


def test_a_text_is_measured(system):
    status, told, _ = fetch(f"{system.gateway}/v1/gateway/tokenize", key=system.key, body={"input": "x" * 400})
    assert (status, told["input_tokens"], told["estimated"]) == (200, 100, True)
