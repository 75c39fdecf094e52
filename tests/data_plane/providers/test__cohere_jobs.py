"""Datasets and embed jobs through a whole gateway, with OpenAI's SDK, against a strict Cohere."""

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Embedding

from data_plane.core.types import CallFacts
from data_plane.providers._cohere_jobs import HOSTED, CohereBatches, CohereFiles
from data_plane.providers._hosted import Taken
from shared.errors import BadRequest, GatewayError, NotFound, Unsupported, UpstreamInvalid
from tests.data_plane.pipeline.bulk.bulk_kit import lines_of, staged
from tests.data_plane.providers.test__avro import EMBEDDED, avro
from tests.fakes.hosted_files import KEY, FakeCohereJobs

MODEL = "embed-english-v3.0"
FACTS = CallFacts(MODEL, False, True, {}, {})
BASE = "https://api.cohere.com"
FILES, BATCHES = CohereFiles(BASE, FACTS), CohereBatches(BASE, FACTS)


def cohere(tmp_path, cloud=None, **changes):
    fields = {"settings": {}, "secrets": {}, "key": KEY, **changes}
    return staged(tmp_path, cloud or FakeCohereJobs(), provider="cohere", **fields)


def text(number, **changes):
    body = {"model": MODEL, "input": f"héllo {number}", **changes.pop("body", {})}
    return orjson.dumps(
        {"custom_id": f"t-{number}", "method": "POST", "url": "/v1/embeddings", "body": body, **changes}
    )


async def made(stage, **options):
    stored = await stage.upload(text(1) + b"\n\n" + text(2))
    return await stage.client.batches.create(
        input_file_id=stored.id, endpoint="/v1/embeddings", completion_window="24h",
        extra_body={"model": MODEL, "provider_options": options},
    )  # fmt: skip


def embedded(*numbers):
    return [
        {"text": f"héllo {n}", "custom_id": f"t-{n}", "embeddings": {"float": [n + 0.5, 1.0], "int8": None}}
        for n in numbers
    ]


@pytest.mark.parametrize("parts", [
    [avro(EMBEDDED, embedded(1)), avro(EMBEDDED, embedded(2), codec=b"deflate")],
    [b"".join(orjson.dumps(row) + b"\n" for row in embedded(1, 2))],
], ids=["avro", "lines"])  # fmt: skip
async def test_a_batch_goes_from_its_file_to_its_vectors(tmp_path, parts):
    async with cohere(tmp_path) as stage:
        batch = await made(stage, input_type="search_query")
        assert (batch.id, batch.status, batch.endpoint, batch.model) == (
            "job-0",
            "in_progress",
            "/v1/embeddings",
            MODEL,
        )
        assert stage.cloud.asked == {
            "model": MODEL, "dataset_id": "in-0", "input_type": "search_query", "embedding_types": ["float"],
        }  # fmt: skip
        assert stage.cloud.files["in-0"]["rows"] == [{"text": f"héllo {n}", "custom_id": f"t-{n}"} for n in (1, 2)]
        stage.cloud.run(batch.id, *parts)
        batch = await stage.client.batches.retrieve(batch.id)
        assert (batch.status, batch.output_file_id, batch.input_file_id) == ("completed", "out-job-0", "in-0")
        status, output, headers = await stage.gw.get("/v1/batches/job-0/output", {"x-portkey-provider": "@cloud"})
        content = (await stage.client.files.content(batch.output_file_id)).content
        assert (status, headers["content-type"]) == (200, "application/jsonl")
        for lines in (lines_of(output), lines_of(content)):
            assert [(line["custom_id"], line["error"]) for line in lines] == [("t-1", None), ("t-2", None)]
            found = [Embedding.model_validate(line["response"]["body"]["data"][0], strict=True) for line in lines]
            assert [each.embedding for each in found] == [[1.5, 1.0], [2.5, 1.0]]
        assert lines_of(output)[0]["response"]["body"]["model"] == MODEL
        assert (stage.cloud.refusals, set(stage.cloud.fetched_with)) == ([], {None})


async def test_a_batch_is_listed_and_ended(tmp_path):
    async with cohere(tmp_path) as stage:
        batch = await made(stage)
        await made(stage)
        assert [each.id async for each in stage.client.batches.list(limit=1)] == ["job-0", "job-1"]
        assert (await stage.client.batches.cancel(batch.id)).status == "cancelling"
        status, body, _ = await stage.gw.get("/v1/batches/job-0/output", {"x-portkey-provider": "@cloud"})
        assert (status, b"no output yet" in body) == (404, True)


async def test_files_are_told_of_listed_and_deleted(tmp_path):
    async with cohere(tmp_path) as stage:
        stored = await stage.upload(text(1), name="My Texts.jsonl")
        assert (stored.id, stored.filename, stored.purpose, stored.status) == (
            "my-texts-0",
            "my-texts",
            "batch",
            "uploaded",
        )
        for number in range(3):
            await stage.upload(text(number))
        read = await stage.client.files.retrieve(stored.id)
        assert (read.status, read.created_at) == ("processed", 1767323045)
        listed = [each.id async for each in stage.client.files.list(limit=2)]
        assert listed == ["my-texts-0", "in-1", "in-2", "in-3"]
        assert (await stage.client.files.delete(stored.id)).deleted
        with pytest.raises(openai.NotFoundError, match="cohere error: dataset not found"):
            await stage.client.files.retrieve(stored.id)


async def test_a_bad_line_is_told_and_nothing_is_sent(tmp_path):
    async with cohere(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match=r"Line 2 of the file: .*embeddings"):
            await stage.upload(text(1) + b"\n" + text(2, url="/v1/chat/completions"))
        with pytest.raises(openai.BadRequestError, match=f"Line 2 .* one model, {MODEL}"):
            await stage.upload(text(1) + b"\n" + text(2, body={"model": "other"}))
        with pytest.raises(openai.BadRequestError, match="purpose: batch"):
            await stage.upload(text(1), purpose="fine-tune")
        assert (stage.cloud.files, stage.fake.seen) == ({}, [])


async def test_a_model_that_the_account_may_not_call_begins_nothing(tmp_path):
    async with cohere(tmp_path, models=frozenset({"other"})) as stage:
        with pytest.raises(openai.PermissionDeniedError):
            await made(stage)
        assert stage.cloud.jobs == {}


async def test_a_key_goes_nowhere_but_where_it_is_bound(tmp_path):
    async with cohere(tmp_path, hosts=("api.cohere.com",)) as stage:
        with pytest.raises(openai.PermissionDeniedError):
            await stage.client.batches.list()
        assert stage.fake.seen == []


@pytest.mark.parametrize(
    "address",
    ["http://169.254.169.254", "https://10.0.0.1", "http://files.example", "http://127.0.0.1:1", "//x", "http://["],
)
async def test_results_are_not_fetched_from_just_anywhere(tmp_path, address):
    cloud = FakeCohereJobs()
    async with cohere(tmp_path, cloud) as stage:
        batch = await made(stage)
        cloud.run(batch.id, b"{}")
        cloud.part_url = address
        status, body, _ = await stage.gw.get("/v1/batches/job-0/output", {"x-portkey-provider": "@cloud"})
        assert (status, b"not fetched from" in body, cloud.fetched_with) == (502, True, [])


async def test_results_that_break_off_break_the_answer(tmp_path):
    async with cohere(tmp_path) as stage:
        batch = await made(stage)
        stage.cloud.run(batch.id, avro(EMBEDDED, embedded(1, 2))[:-20])
        with pytest.raises(openai.APIConnectionError):
            await stage.client.files.content("out-job-0")


async def test_there_is_no_tuning_at_cohere(tmp_path):
    async with cohere(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match="no fine-tuning jobs"):
            await stage.client.fine_tuning.jobs.list()


# lines and bodies


@pytest.mark.parametrize(("line", "path"), [
    ({"body": {"input": "x"}}, "custom_id"), ({"custom_id": "a"}, "body"), ({"custom_id": "a", "body": 7}, "body"),
    ({"custom_id": "a", "body": {"input": ["x", "y"]}}, "body.input"), ({"custom_id": "a", "body": {"input": [1]}}, "body.input"),
    ({"custom_id": "a", "body": {"input": "x", "dimensions": 5}}, "body"),
    ({"custom_id": "a", "url": "/v1/completions", "body": {"input": "x"}}, "url"),
])  # fmt: skip
def test_a_line_that_is_none_is_told_so(line, path):
    with pytest.raises(BadRequest) as refused:
        FILES.line(line)
    assert refused.value.path == path


@pytest.mark.parametrize(("line", "row"), [
    ({"text": "a", "title": "b"}, {"text": "a", "title": "b"}),
    ({"custom_id": "1", "body": {"input": ["x"], "user": "u"}}, {"text": "x", "custom_id": "1"}),
])  # fmt: skip
def test_lines_become_rows_and_rows_stay(line, row):
    assert FILES.line(line) == (row, "")


@pytest.mark.parametrize(("body", "path"), [
    ({"endpoint": "/v1/chat/completions", "input_file_id": "a"}, "endpoint"),
    ({"endpoint": "/v1/embeddings"}, "input_file_id"), ({"endpoint": "/v1/embeddings", "input_file_id": "../a"}, "input_file_id"),
])  # fmt: skip
def test_a_batch_that_cannot_be_is_refused(body, path):
    with pytest.raises((BadRequest, Unsupported)) as refused:
        BATCHES.create(body)
    assert refused.value.path == path


@pytest.mark.parametrize("job_id", ["a/b", "..", "", "a%2Fb", "%2e%2e", "é", "x" * 300])
def test_an_id_that_can_be_none_asks_nothing(job_id):
    for ask in (BATCHES.read, BATCHES.cancel, FILES.read, FILES.delete):
        with pytest.raises(NotFound):
            ask(job_id)


@pytest.mark.parametrize(("record", "vector"), [
    ({"embedding": [1.0]}, [1.0]), ({"embeddings": [[1.0]]}, [1.0]), ({"embeddings": {"int8": [1, 2]}}, [1, 2]),
    ({"embeddings": {"int8": [1], "float": [[0.5]]}}, [0.5]),
])  # fmt: skip
def test_vectors_are_found_in_every_form(record, vector):
    assert FILES.result(record, FACTS).body["data"][0]["embedding"] == vector


def test_a_failed_job_says_so_and_a_record_without_vector_is_no_result():
    job = {"job_id": "j", "status": "failed", "created_at": None}
    assert BATCHES.shown(job)["errors"]["data"][0]["message"]
    with pytest.raises(UpstreamInvalid):
        FILES.result({"text": "a"}, FACTS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.sampled_from(["id", "job_id", "dataset", "dataset_parts", "url", "embeddings", "float", "input", "body"]), of, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "id",
                "job_id",
                "status",
                "dataset",
                "datasets",
                "embed_jobs",
                "embeddings",
                "custom_id",
                "body",
                "text",
                "created_at",
                "input_file_id",
                "endpoint",
            ]
        ),
        JSON,
    )
)
def test_whatever_is_said_is_read_or_refused(told):
    reads = (
        FILES.shown, FILES.parts, FILES.is_result, FILES.line, BATCHES.shown, BATCHES.paged, BATCHES.output, BATCHES.create,
        lambda answer: FILES.stored(answer, Taken("a", 1, 1)), lambda answer: FILES.paged(answer, None),
        lambda answer: FILES.result(answer, FACTS), lambda answer: HOSTED.fault(400, answer),
    )  # fmt: skip
    for read in reads:
        try:
            read(told)
        except GatewayError as error:
            assert error.message
