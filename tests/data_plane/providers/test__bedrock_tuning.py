"""Fine-tuning at Bedrock: requests by AWS's own description, examples by the family of the model."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._bedrock_bulk import BULK
from shared.errors import BadRequest, GatewayError, NotFound, Unsupported
from tests.fakes.aws_bulk import ARN, ROLE, problems

SETTINGS = {"aws_region": "eu-west-1"}
TUNINGS = BULK.tunings("https://bedrock-runtime.eu-west-1.amazonaws.com", CallFacts("", False, True, {}, SETTINGS))
NOVA = "amazon.nova-lite-v1:0"
BODY = {"model": NOVA, "training_file": "s3://in-bucket/a/t.jsonl", "role_arn": ROLE}
JOB = f"{ARN}model-customization-job/{NOVA}/abcdef012345"
TURNS = [
    {"role": "system", "content": "Be brief"},
    {"role": "user", "content": "Q"},
    {"role": "assistant", "content": "A"},
]
TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXTS, of, max_size=3),
    max_leaves=6,
)


def facts(model):
    return CallFacts(model, False, True, {}, SETTINGS)


@pytest.mark.parametrize("changes", [
    {}, {"job_name": "a.b+c-d"}, {"suffix": "my-model"}, {"validation_file": "s3://in-bucket/v.jsonl"}, {"output_file": "s3://out-bucket/x"},
    {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 0.5, "earlyStoppingPatience": 1}},
])  # fmt: skip
def test_a_job_is_what_bedrocks_own_description_takes(changes):
    request = TUNINGS.create({**BODY, **changes})
    assert problems("CreateModelCustomizationJob", orjson.loads(request.body)) == []
    assert request.url == "https://bedrock.eu-west-1.amazonaws.com/model-customization-jobs"


@pytest.mark.parametrize(("changes", "path"), [
    ({"role_arn": ""}, "role_arn"), ({"training_file": "file-1"}, "training_file"), ({"validation_file": 3}, "validation_file"),
    ({"suffix": "a--b"}, "suffix"), ({"suffix": 3}, "suffix"), ({"job_name": "é"}, "job_name"), ({"method": {"type": "dpo"}}, "method.type"), ({"model": ""}, "model"),
])  # fmt: skip
def test_what_bedrock_would_not_take_is_a_400_that_names_it(changes, path):
    with pytest.raises(BadRequest) as refused:
        TUNINGS.create({**BODY, **changes})
    assert refused.value.path == path


@pytest.mark.parametrize(("model", "expected"), [
    ("anthropic.claude-3-haiku-20240307-v1:0:200k", {"system": "Be brief", "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}),
    ("amazon.titan-text-express-v1", {"prompt": "Be brief\n\nQ", "completion": "A"}),
    ("meta.llama3-1-8b-instruct-v1:0", {
        "schemaVersion": "bedrock-conversation-2024", "system": [{"text": "Be brief"}],
        "messages": [{"role": "user", "content": [{"text": "Q"}]}, {"role": "assistant", "content": [{"text": "A"}]}],
    }),
])  # fmt: skip
def test_an_example_is_written_as_the_models_family_takes_it(model, expected):
    assert TUNINGS.encode({"messages": TURNS}, facts(model)) == expected


def test_a_prompt_with_its_completion_stays_as_it_is():
    assert TUNINGS.encode({"prompt": "a", "completion": "b", "x": 1}, facts("cohere.command")) == {
        "prompt": "a",
        "completion": "b",
    }


def test_what_a_family_cannot_learn_from_is_refused():
    more = [*TURNS, {"role": "user", "content": "more"}, {"role": "assistant", "content": "B"}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    for model, turns in (
        ("amazon.titan-text-express-v1", more),
        ("anthropic.claude-3-haiku", [{"role": "user", "content": [image]}, TURNS[2]]),
    ):
        with pytest.raises(Unsupported):
            TUNINGS.encode({"messages": turns}, facts(model))


@pytest.mark.parametrize(("status", "expected"), [
    ("InProgress", "running"), ("Completed", "succeeded"), ("Failed", "failed"), ("Stopping", "running"), ("Stopped", "cancelled"), ("New", "running"),
])  # fmt: skip
def test_every_status_has_a_word_of_openais(status, expected):
    assert TUNINGS.shown({"jobArn": JOB, "status": status})["status"] == expected


def test_an_id_that_is_none_asks_nothing():
    assert TUNINGS.read(JOB).url.endswith("abcdef012345")
    for job_id in ("a/b", "arn:aws:s3:::x", "a b"):
        with pytest.raises(NotFound):
            TUNINGS.read(job_id)


@given(JSON, st.dictionaries(st.sampled_from(
    ["status", "validationDataConfig", "trainingDataConfig", "hyperParameters", "modelCustomizationJobSummaries", "creationTime"]), JSON))  # fmt: skip
def test_whatever_is_said_is_read_or_refused(example, job):
    for read in (
        lambda: TUNINGS.shown({"jobArn": JOB, **job}),
        lambda: TUNINGS.paged(job),
        lambda: TUNINGS.encode({"messages": example}, facts(NOVA)),
    ):
        try:
            read()
        except GatewayError:
            continue
