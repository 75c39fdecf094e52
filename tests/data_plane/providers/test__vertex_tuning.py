"""Fine-tuning at Vertex AI; a whole job is in `test__vertex_bulk.py`."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._vertex_bulk import BULK
from shared.errors import BadRequest, GatewayError, NotFound

BASE_URL = "https://europe-west1-aiplatform.googleapis.com/v1/projects/proj/locations/europe-west1"
FACTS = CallFacts("", False, True, {}, {"vertex_project_id": "proj", "vertex_region": "europe-west1"})
TUNINGS = BULK.tunings(BASE_URL, FACTS)
BODY = {"model": "gemini-2.5-flash", "training_file": "gs://my-bucket/t.jsonl"}
TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXTS, of, max_size=3),
    max_leaves=6,
)


def test_a_job_has_googles_members_only_where_the_body_says_something():
    assert orjson.loads(TUNINGS.create(BODY).body) == {
        "baseModel": "gemini-2.5-flash", "supervisedTuningSpec": {"trainingDatasetUri": "gs://my-bucket/t.jsonl"},
    }  # fmt: skip
    full = {
        **BODY,
        "validation_file": "gs://my-bucket/v.jsonl",
        "suffix": "mine",
        "hyperparameters": {"learning_rate_multiplier": 2},
    }
    job = orjson.loads(TUNINGS.create(full).body)
    assert (job["tunedModelDisplayName"], job["supervisedTuningSpec"]["hyperParameters"]) == (
        "mine",
        {"learningRateMultiplier": 2},
    )
    assert job["supervisedTuningSpec"]["validationDatasetUri"] == "gs://my-bucket/v.jsonl"


@pytest.mark.parametrize("changes", [
    {"model": "claude-sonnet-4-5"}, {"model": None}, {"training_file": "s3://x/y"}, {"suffix": "x" * 129}, {"suffix": 3}, {"method": {"type": "dpo"}},
])  # fmt: skip
def test_what_google_would_not_take_is_a_400(changes):
    with pytest.raises(BadRequest):
        TUNINGS.create({**BODY, **changes})


@pytest.mark.parametrize(("state", "expected"), [
    ("JOB_STATE_QUEUED", "queued"), ("JOB_STATE_PENDING", "queued"), ("JOB_STATE_RUNNING", "running"), ("JOB_STATE_SUCCEEDED", "succeeded"),
    ("JOB_STATE_FAILED", "failed"), ("JOB_STATE_CANCELLED", "cancelled"), ("JOB_STATE_CANCELLING", "running"), ("JOB_STATE_EXPIRED", "failed"),
])  # fmt: skip
def test_every_state_has_a_word_of_openais(state, expected):
    told = {"name": "projects/42/locations/x/tuningJobs/7", "state": state, "error": {"message": "why"}}
    shown = TUNINGS.shown(told)
    assert (shown["status"], shown["id"], bool(shown["error"])) == (expected, "7", expected == "failed")


@pytest.mark.parametrize("job_id", ["x", "7:cancel", "projects/p/locations/l/batchPredictionJobs/7"])
def test_an_id_that_is_none_asks_nothing(job_id):
    with pytest.raises(NotFound):
        TUNINGS.read(job_id)


@given(
    JSON,
    st.dictionaries(
        st.sampled_from(["state", "supervisedTuningSpec", "tunedModel", "tuningJobs", "error", "createTime"]), JSON
    ),
)
def test_whatever_is_said_is_read_or_refused(example, job):
    for read in (
        lambda: TUNINGS.shown({"name": "7", **job}),
        lambda: TUNINGS.paged(job),
        lambda: TUNINGS.encode({"messages": example}, FACTS),
    ):
        try:
            read()
        except GatewayError:
            continue
