"""Batches of Bedrock: requests by AWS's own description, answers in OpenAI's words; a whole batch is in `test_run.py`."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._bedrock_bulk import BULK, BedrockBatches, service_address
from data_plane.providers._bulk import Place
from shared.errors import BadRequest, GatewayError, NotFound
from shared.redact import Secret
from tests.fakes.aws_bulk import ARN, ROLE, problems

NOVA = "amazon.nova-pro-v1:0"
FACTS = CallFacts("", False, True, {}, {"aws_region": "eu-west-1"})
RUNTIME = "https://bedrock-runtime.eu-west-1.amazonaws.com"
BATCHES = BedrockBatches(RUNTIME, FACTS)
JOB = f"{ARN}model-invocation-job/abcdef012345"
BODY = {
    "endpoint": "/v1/chat/completions",
    "input_file_id": "s3://in-bucket/a/in.jsonl",
    "role_arn": ROLE,
    "model": NOVA,
}
TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXTS, of, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, "s3://in-bucket/a/"), ({"input_file_id": "s3://in-bucket/in.jsonl"}, "s3://in-bucket/"),
    ({"output_data_config": "s3://out-bucket/x"}, "s3://out-bucket/x/"),
    ({"output_data_config": {"s3Uri": "s3://out-bucket/x/"}}, "s3://out-bucket/x/"),
    ({"provider_options": {"output_data_config": {"s3OutputDataConfig": {"s3Uri": "s3://out-bucket", "s3BucketOwner": "123456789012"}}}}, "s3://out-bucket/"),
    ({"completion_window": "72h", "job_name": "a-b.c"}, "s3://in-bucket/a/"),
])  # fmt: skip
def test_a_job_is_what_bedrocks_own_description_takes(changes, expected):
    request = BATCHES.create({**BODY, **changes})
    job = orjson.loads(request.body)
    assert problems("CreateModelInvocationJob", job) == []
    assert job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"] == expected
    assert request.url == "https://bedrock.eu-west-1.amazonaws.com/model-invocation-job"


@pytest.mark.parametrize(("changes", "path"), [
    ({"role_arn": None}, "role_arn"), ({"endpoint": "/v1/responses"}, "endpoint"), ({"completion_window": "1h"}, "completion_window"),
    ({"completion_window": "999h"}, "completion_window"), ({"job_name": "a b"}, "job_name"), ({"model": None}, "model"),
    ({"input_file_id": "file-1"}, "input_file_id"), ({"output_data_config": "gs://x/y"}, "output_data_config"), ({"output_data_config": {"s3Uri": 3}}, "output_data_config"),
])  # fmt: skip
def test_what_bedrock_would_not_take_is_a_400_that_names_it(changes, path):
    with pytest.raises(BadRequest) as refused:
        BATCHES.create({**BODY, **changes})
    assert refused.value.path == path


@pytest.mark.parametrize(("status", "expected"), [
    ("Submitted", "validating"), ("Validating", "validating"), ("Scheduled", "in_progress"), ("InProgress", "in_progress"), ("Stopping", "cancelling"),
    ("Stopped", "cancelled"), ("Completed", "completed"), ("PartiallyCompleted", "completed"), ("Failed", "failed"), ("Expired", "expired"), ("New", "in_progress"),
])  # fmt: skip
def test_every_status_has_a_word_of_openais(status, expected):
    told = {
        "jobArn": JOB,
        "status": status,
        "message": "why",
        "endTime": "2026-01-02T03:04:05Z",
        "lastModifiedTime": "2026-01-02T03:04:05Z",
    }
    shown = BATCHES.shown(told)
    assert (shown["status"], shown.get(f"{expected}_at", 1767323045)) == (expected, 1767323045)
    assert bool(shown["errors"]) is (expected == "failed")


@pytest.mark.parametrize("job_id", ["x", JOB + "/..", "abcdef012345/stop", "ABCDEF012345", "arn:aws:s3:::x"])
def test_an_id_that_is_none_asks_nothing(job_id):
    with pytest.raises(NotFound):
        BATCHES.read(job_id)


def test_services_of_one_account_are_in_its_region_or_at_its_own_address():
    assert (
        service_address(RUNTIME, "https://s3.{aws_region}.amazonaws.com", FACTS) == "https://s3.eu-west-1.amazonaws.com"
    )
    assert (
        service_address("https://mine.example", "https://s3.{aws_region}.amazonaws.com", FACTS)
        == "https://mine.example"
    )
    region = "evil.s3.eu-west-1"
    facts = CallFacts("", False, True, {}, {"aws_region": region})
    with pytest.raises(BadRequest, match="region"):
        service_address(
            f"https://bedrock-runtime.{region}.amazonaws.com", "https://s3.{aws_region}.amazonaws.com", facts
        )


@pytest.mark.parametrize(
    ("key", "job"), [("out/abcdef012345/in.jsonl.out", "abcdef012345"), ("in.jsonl", None), ("x/in.jsonl.out", None)]
)
def test_results_are_known_by_the_folder_of_their_job(key, job):
    assert BATCHES.result_of(Place("out-bucket", key)) == job


def test_a_key_of_bedrock_is_not_sent_to_s3():
    request = BULK.store(RUNTIME, FACTS).read(Place("in-bucket", "x"))
    with pytest.raises(BadRequest, match="S3"):
        BULK.sign(request, Secret("bedrock-key"), FACTS, True)
    control = BATCHES.read("abcdef012345")
    BULK.sign(control, Secret("bedrock-key"), FACTS, False)
    assert control.headers["authorization"] == "Bearer bedrock-key"
    with pytest.raises(BadRequest, match="needs an API key"):
        BULK.sign(control, None, FACTS, False)


@given(st.dictionaries(st.sampled_from(["recordId", "modelOutput", "modelInput", "error"]), JSON), st.dictionaries(st.sampled_from(
    ["status", "inputDataConfig", "outputDataConfig", "modelId", "submitTime", "invocationJobSummaries", "nextToken", "modelInvocationType"]), JSON))  # fmt: skip
def test_whatever_bedrock_says_is_read_or_refused(line, job):
    for read in (
        lambda: BATCHES.decode(line, FACTS),
        lambda: BATCHES.shown({"jobArn": JOB, **job}),
        lambda: BATCHES.paged(job),
        lambda: BATCHES.results(job),
    ):
        try:
            read()
        except GatewayError:
            continue
