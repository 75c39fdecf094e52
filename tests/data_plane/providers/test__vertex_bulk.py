"""Files and batches of Vertex AI through a whole gateway, with OpenAI's SDK, against a strict Google; and its lines."""

from urllib.parse import quote, unquote

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.pipeline.bulk import wire
from data_plane.providers import _vertex_bulk
from data_plane.providers._vertex_bulk import BULK, VertexBatches, id_in_labels, id_labels
from shared.errors import GatewayError
from tests.data_plane.pipeline.bulk.bulk_kit import ask, lines_of, staged
from tests.fakes.google_bulk import ROOT, TOKEN, FakeGoogleBulk

GEMINI = "gemini-2.5-flash"
CLAUDE = "claude-sonnet-4-5@20250929"
SETTINGS = {"vertex_project_id": "proj", "vertex_region": "europe-west1"}
FACTS = CallFacts(GEMINI, False, True, {}, SETTINGS)
BASE_URL = "https://europe-west1-aiplatform.googleapis.com/v1/projects/proj/locations/europe-west1"
TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXTS, of, max_size=3),
    max_leaves=6,
)


def vertex(tmp_path, cloud=None, **changes):
    settings = {**SETTINGS, "vertex_storage_bucket_name": "my-bucket"}
    return staged(
        tmp_path, cloud or FakeGoogleBulk(), provider="vertex-ai",
        **{"settings": settings, "secrets": {}, "path": ROOT, "key": TOKEN, **changes},
    )  # fmt: skip


def gemini_answer(line):
    text = line["request"]["contents"][0]["parts"][0]["text"]
    return {
        "status": "",
        "response": {
            "candidates": [{"content": {"role": "model", "parts": [{"text": f"re: {text}"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}, "modelVersion": GEMINI,
        },
    }  # fmt: skip


def claude_answer(_line):
    return {
        "status": "",
        "response": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 3, "output_tokens": 2},
        },
    }  # fmt: skip


async def made(stage, model=GEMINI, content=None, **options):
    stored = await stage.upload(content or ask(1) + b"\n" + ask(2, custom_id="Ünique ID"), provider_model=model)
    return await stage.client.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h",
        extra_body={"provider_options": {"model": model, **options}},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "answer", "said"), [(GEMINI, gemini_answer, "re: hé 1"), (CLAUDE, claude_answer, "hello")]
)
async def test_a_batch_goes_from_its_file_to_its_answers(tmp_path, model, answer, said):
    async with vertex(tmp_path) as stage:
        batch = await made(stage, model)
        assert (batch.status, batch.id) == ("validating", "7000")
        stage.cloud.run(batch.id, answer)
        batch = await stage.client.batches.retrieve(batch.id)
        assert (batch.status, batch.request_counts.completed) == ("completed", 2)
        _, content, _ = await stage.gw.get(f"/v1/batches/{batch.id}/output", {"x-portkey-provider": "@cloud"})
        for told in (content, (await stage.client.files.content(batch.output_file_id)).content):
            first, second = lines_of(told)
            assert (first["custom_id"], second["custom_id"]) == ("ask-1", "Ünique ID")
            assert first["response"]["body"]["choices"][0]["message"]["content"] == said
        assert stage.cloud.refusals == []


def embed(number, text, **changes):
    body = {"input": text, "encoding_format": "float"}
    return ask(number, url="/v1/embeddings", body=body, **changes)


def old_embedding(line):
    vector = {"values": [0.5, len(line["content"])], "statistics": {"token_count": 3.0, "truncated": False}}
    return {"predictions": [{"embeddings": vector}], "status": ""}


def new_embedding(line):
    text = line["request"]["content"]["parts"][0]["text"]
    return {"status": "", "response": {"embedding": {"values": [0.5, len(text)]}, "tokenCount": "3"}}


@pytest.mark.parametrize(
    ("model", "answer"),
    [("text-embedding-005", old_embedding), ("google.gemini-embedding-001", new_embedding)],
)
async def test_a_batch_of_embeddings_goes_from_its_file_to_its_vectors(tmp_path, model, answer):
    async with vertex(tmp_path) as stage:
        lines = [embed(1, "hi"), embed(2, "hello", custom_id="Ünique ID")]
        stored = await stage.upload(b"\n".join(lines), provider_model=model)
        batch = await stage.client.batches.create(
            input_file_id=stored.id, endpoint="/v1/embeddings", completion_window="24h", extra_body={"model": model}
        )
        assert (batch.status, batch.endpoint) == ("validating", "/v1/embeddings")
        stage.cloud.run(batch.id, answer)
        batch = await stage.client.batches.retrieve(batch.id)
        _, content, _ = await stage.gw.get(f"/v1/batches/{batch.id}/output", {"x-portkey-provider": "@cloud"})
        for told in (content, (await stage.client.files.content(batch.output_file_id)).content):
            first, second = lines_of(told)
            assert (first["custom_id"], second["custom_id"]) == ("ask-1", "Ünique ID")
            body = second["response"]["body"]
            assert body["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, 5]}]
            assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
        assert stage.cloud.refusals == []


@pytest.mark.parametrize(("model", "endpoint"), [
    (GEMINI, "/v1/embeddings"), (CLAUDE, "/v1/embeddings"), ("text-embedding-005", "/v1/chat/completions"),
    ("multimodalembedding@001", "/v1/embeddings"), ("projects/p/locations/l/models/1", "/v1/embeddings"),
])  # fmt: skip
async def test_a_model_has_batches_of_what_it_does_and_of_nothing_else(tmp_path, model, endpoint):
    async with vertex(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match=f"no batches for {endpoint} with this model"):
            await stage.client.batches.create(
                input_file_id="gs://my-bucket/x.jsonl", endpoint=endpoint, completion_window="24h",
                extra_body={"model": model},
            )  # fmt: skip
        line = ask(1) if "chat" in endpoint else embed(1, "hi")
        with pytest.raises(openai.BadRequestError, match=r"Line 1 of the file: .* no batches for"):
            await stage.upload(line, provider_model=model)
        assert (stage.fake.seen, stage.cloud.objects) == ([], {})


async def test_a_line_that_embeds_what_no_line_can_ends_the_upload(tmp_path):
    async with vertex(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match="Line 2 of the file: vertex-ai embeds one input per line"):
            await stage.upload(embed(1, "a") + b"\n" + embed(2, ["a", "b"]), provider_model="text-embedding-005")
        assert stage.cloud.objects == {}


@pytest.mark.parametrize("line", [
    {"instance": {"key": "a"}, "predictions": [{}]}, {"key": "a", "response": {"embedding": 7}},
    {"instance": {"key": "a"}, "predictions": [], "status": "out of quota"}, {"instance": {"key": "a"}},
])  # fmt: skip
def test_embeddings_that_are_none_keep_the_id_of_their_line(line):
    result = VertexBatches(BASE_URL, FACTS).decode(line, FACTS)
    assert (result.custom_id, result.body, bool(result.error)) == ("a", None, True)


async def test_a_file_is_stored_in_slices_and_told_of(tmp_path):
    async with vertex(tmp_path) as stage:
        content = b"\n".join(ask(number, "x" * 4000) for number in range(4500))
        stored = await stage.upload(content, provider_model=GEMINI, provider_file_name="a/b.jsonl")
        held, metadata = stage.cloud.objects["my-bucket/a/b.jsonl"]
        assert (stored.id, stored.bytes, metadata) == (
            "gs%3A%2F%2Fmy-bucket%2Fa%2Fb.jsonl",
            len(held),
            {"purpose": "batch"},
        )
        sizes = [len(seen.body) for seen in stage.fake.seen if seen.method == "PUT"]
        assert (len(sizes) > 2, set(sizes[:-1])) == (True, {wire.SLICE_BYTES})
        assert [line["request"]["labels"]["custom_id"] for line in lines_of(held)] == [
            f"ask-{number}" for number in range(4500)
        ]
        read = await stage.client.files.retrieve(stored.id)
        assert (read.bytes, read.created_at, read.purpose) == (len(held), 1767323045, "batch")
        assert [item.id async for item in stage.client.files.list()] == [stored.id]
        assert (await stage.client.files.content(stored.id)).content == held
        assert (await stage.client.files.delete(stored.id)).deleted
        with pytest.raises(openai.NotFoundError, match="vertex-ai error: No such object"):
            await stage.client.files.content(stored.id)
        assert (stage.cloud.refusals, stage.cloud.uploads) == ([], {})


async def test_a_bad_line_far_behind_ends_an_upload_that_has_begun(tmp_path):
    async with vertex(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match="Line 4501 "):
            await stage.upload(
                b"\n".join([*(ask(number, "x" * 4000) for number in range(4500)), b"{"]), provider_model=GEMINI
            )
        assert (stage.cloud.objects, stage.cloud.uploads, stage.cloud.refusals) == ({}, {}, [])


async def test_an_upload_never_goes_where_an_answer_says(tmp_path):
    async with vertex(tmp_path) as stage:
        stage.cloud.location = "https://evil.example"
        assert (await stage.upload(ask(1), provider_model=GEMINI)).object == "file"


async def test_batches_are_listed_and_cancelled(tmp_path):
    async with vertex(tmp_path, FakeGoogleBulk(page=2)) as stage:
        batches = [await made(stage) for _ in range(3)]
        assert [batch.id async for batch in stage.client.batches.list(limit=1)] == [
            batch.id for batch in reversed(batches)
        ]
        assert (await stage.client.batches.cancel(batches[0].id)).status == "cancelling"


async def test_a_model_is_tuned_on_conversations(tmp_path):
    example = {
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "A"},
        ]
    }
    async with vertex(tmp_path) as stage:
        stored = await stage.upload(orjson.dumps(example), purpose="fine-tune")
        (line,) = lines_of(stage.cloud.objects[unquote(stored.id).removeprefix("gs://")][0])
        assert [(turn["role"], turn["parts"]) for turn in line["contents"]] == [
            ("user", [{"text": "Q"}]),
            ("model", [{"text": "A"}]),
        ]
        assert line["systemInstruction"]["parts"] == [{"text": "Be brief"}]
        job = await stage.client.fine_tuning.jobs.create(
            model=GEMINI, training_file=stored.id, suffix="mine", hyperparameters={"n_epochs": 3, "batch_size": 4}
        )
        begun = stage.cloud.jobs["tuningJobs", job.id]
        assert begun["supervisedTuningSpec"] == {
            "trainingDatasetUri": unquote(stored.id),
            "hyperParameters": {"epochCount": 3},
        }
        begun.update(state="JOB_STATE_SUCCEEDED", tunedModel={"endpoint": "projects/42/locations/x/endpoints/99"})
        read = await stage.client.fine_tuning.jobs.retrieve(job.id)
        assert (read.status, read.fine_tuned_model, read.hyperparameters.n_epochs) == ("succeeded", "endpoints/99", 3)
        assert [item.id async for item in stage.client.fine_tuning.jobs.list()] == [job.id]
        assert (await stage.client.fine_tuning.jobs.cancel(job.id)).id == job.id


@pytest.mark.parametrize(
    ("model", "told"), [("meta/llama-3", "Gemini and Claude"), ("endpoints/12", "Gemini and Claude")]
)
async def test_models_without_batches_are_a_clear_400(tmp_path, model, told):
    async with vertex(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match=told):
            await stage.client.batches.create(
                input_file_id="gs://my-bucket/x.jsonl", endpoint="/v1/chat/completions", completion_window="24h",
                extra_body={"model": model},
            )  # fmt: skip


async def test_a_batch_may_run_a_model_of_the_account(tmp_path):
    own = "projects/proj/locations/europe-west1/models/123"
    async with vertex(tmp_path) as stage:
        batch = await made(stage, own, output_data_config="gs://my-bucket/out/")
        job = stage.cloud.jobs["batchPredictionJobs", batch.id]
        assert (job["model"], job["outputConfig"]["gcsDestination"]["outputUriPrefix"]) == (own, "gs://my-bucket/out")


async def test_a_bucket_of_another_kind_of_name_is_refused(tmp_path):
    async with vertex(tmp_path, settings=SETTINGS) as stage:
        for bucket in ("google-x", "a/b", "A", "..", "a..b"):
            with pytest.raises(openai.BadRequestError, match="bucket"):
                await stage.upload(ask(1), provider_model=GEMINI, vertex_storage_bucket_name=bucket)
        assert stage.fake.seen == []


def test_the_storage_of_an_account_at_google_is_googles():
    request = BULK.store(BASE_URL, FACTS).page(BULK.store(BASE_URL, FACTS).place("my-bucket", ""), 5, None)
    assert request.url == "https://storage.googleapis.com/storage/v1/b/my-bucket/o?maxResults=5"
    assert BULK.batches(BASE_URL, FACTS).read("12").url == BASE_URL + "/batchPredictionJobs/12"


@given(st.text(min_size=1, max_size=512).filter(lambda text: text.isprintable()))
def test_any_custom_id_comes_back_from_labels_that_google_takes(custom_id):
    labels = id_labels(custom_id)
    assert all(
        _vertex_bulk._LABEL.fullmatch(value) and _vertex_bulk._LABEL.fullmatch(name) for name, value in labels.items()
    )
    assert (id_in_labels(labels), len(labels) <= 64) == (custom_id, True)


@pytest.mark.parametrize(("status", "code", "message"), [
    ('Bad Request: {"error": {"code": 400, "message": "no such role", "status": "INVALID_ARGUMENT"}}', 400, "no such role"),
    ("out of quota", None, "out of quota"), ("{", None, "{"), ('{"error": 3}', None, '{"error": 3}'),
])  # fmt: skip
def test_a_line_that_failed_says_why(status, code, message):
    result = VertexBatches(BASE_URL, FACTS).decode(
        {"request": {"labels": {"custom_id": "a"}}, "status": status, "response": {}}, FACTS
    )
    assert result.custom_id == "a"
    if code is None:
        assert (result.body, result.error) == (None, message)
    else:
        assert (result.status, result.body["error"]["message"]) == (code, f"vertex-ai error: {message}")


@given(st.dictionaries(st.sampled_from(["request", "response", "status", "custom_id", "key", "instance", "predictions"]), JSON), st.dictionaries(st.sampled_from(
    ["name", "state", "inputConfig", "outputInfo", "completionStats", "error", "createTime", "batchPredictionJobs", "model"]), JSON))  # fmt: skip
def test_whatever_google_says_is_read_or_refused(line, job):
    batches = VertexBatches(BASE_URL, FACTS)
    for read in (
        lambda: batches.decode(line, FACTS),
        lambda: batches.shown({"name": "12", **job}),
        lambda: batches.paged(job),
        lambda: batches.results(job),
    ):
        try:
            read()
        except GatewayError:
            continue


@pytest.mark.parametrize(
    "job_id", ["", "x", "12/../13", "projects/p/locations/l/endpoints/1", "12:cancel", quote("12?x", safe="")]
)
async def test_an_id_that_is_none_asks_nothing(job_id):
    with pytest.raises(GatewayError):
        VertexBatches(BASE_URL, FACTS).read(job_id)
