"""What all providers' files, batches and fine-tuning jobs share: names, ids, and OpenAI's objects."""

import openai.types
import openai.types.fine_tuning
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._bulk import (
    BatchFacts,
    Place,
    Stored,
    TuningFacts,
    address_of,
    batch_object,
    check_key,
    encoded_id,
    file_object,
    folder_of,
    model_named,
    option,
    place_named,
    plain_id,
    request_to,
    required_text,
    seconds,
    tuning_object,
    tuning_parameters,
    whole_number,
    word,
)
from data_plane.providers._s3 import S3
from shared.errors import BadRequest, NotFound

FACTS = CallFacts("", False, True, {}, {"provider_model": "set"})
STORE = S3("https://s3.eu-west-1.amazonaws.com", FACTS)


@given(
    st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%"), min_size=1, max_size=80
    ),
    st.integers(0, 3),
)
def test_an_id_comes_back_however_often_it_was_encoded(text, times):
    spelt = text
    for _ in range(times):
        spelt = encoded_id(spelt)
    assert plain_id(spelt) == text


@pytest.mark.parametrize("text", ["", "a\n", "%00", "é", "x" * 5000, "%0d%0aHost:x"])
def test_what_can_be_no_id_is_not_found(text):
    with pytest.raises(NotFound):
        plain_id(text)


@pytest.mark.parametrize(
    "key", ["", ".", "..", "a/../b", "./a", "a//b", "/a", "a?b", "a#b", "a b", "a%2e", "a\\b", "é", "x" * 1001, "a\n"]
)
def test_a_key_that_could_be_read_otherwise_is_refused(key):
    with pytest.raises(BadRequest):
        check_key(key, "key")


@pytest.mark.parametrize("key", ["a", "a/b.jsonl", "a-b_c.d/e=1/f:2", "..a", "a.."])
def test_a_plain_key_is_taken(key):
    assert check_key(key, "key") == key


@pytest.mark.parametrize(
    "given_id", [None, 3, "", "file-1", "gs://b/x", "s3://../x", "s3:/in-bucket/x", "s3://in-bucket@evil/x"]
)
def test_a_file_that_is_none_of_the_store_is_a_400(given_id):
    with pytest.raises(BadRequest):
        place_named(STORE, given_id, "input_file_id")


def test_a_file_is_named_by_its_address_or_its_id():
    place = Place("in-bucket", "a/b.jsonl")
    assert (
        place_named(STORE, "s3://in-bucket/a/b.jsonl", "x")
        == place_named(STORE, encoded_id(address_of("s3", place)), "x")
        == place
    )
    assert (folder_of(place), folder_of(Place("b", "x"))) == (Place("in-bucket", "a"), Place("b", ""))


@pytest.mark.parametrize(("told", "read"), [
    ("2026-01-02T03:04:05Z", 1767323045), ("2026-01-02T03:04:05.123456789Z", 1767323045), (1767323045.5, 1767323045),
    ("", None), ("soon", None), (None, None), (True, None), (1e300, None), ("9" * 30, None),
])  # fmt: skip
def test_times_are_read_in_every_spelling(told, read):
    assert seconds(told) == read


@pytest.mark.parametrize(
    ("told", "read"), [("12", 12), (3, 3), (-1, 0), ("-1", 0), (None, 0), (True, 0), ("9" * 30, 0), (2**60, 0)]
)
def test_counts_are_read_and_never_negative(told, read):
    assert (whole_number(told), word(3), word("a")) == (read, "", "a")


def test_options_stand_at_the_top_or_among_the_providers():
    body = {"role_arn": "top", "provider_options": {"role_arn": "below", "job_name": "below"}}
    assert (option(body, "role_arn"), option(body, "job_name"), option({"provider_options": 3}, "x")) == (
        "top",
        "below",
        None,
    )
    with pytest.raises(BadRequest, match="other is required"):
        required_text(body, "other")
    assert required_text(body, "job_name") == "below"


def test_a_model_is_named_by_the_body_then_by_a_setting():
    assert model_named({"provider_options": {"model": "m"}}, FACTS, ("provider_model",)) == "m"
    assert model_named({}, FACTS, ("provider_model",)) == "set"
    with pytest.raises(BadRequest, match="model is required"):
        model_named({}, FACTS, ())


def test_the_objects_are_what_openais_sdk_reads():
    batch = batch_object(BatchFacts("b", "failed", "/v1/embeddings", "f", "m", 1, 2, message="why"), "bedrock")
    read = openai.types.Batch.model_validate(batch)
    assert (read.failed_at, read.completed_at, read.errors.data[0].message) == (2, None, "why")
    job = openai.types.fine_tuning.FineTuningJob.model_validate(
        tuning_object(TuningFacts("t", "failed", "m", "f", message="why"), "bedrock")
    )
    assert (job.error.message, job.hyperparameters.n_epochs) == ("why", "auto")
    file = openai.types.FileObject.model_validate(file_object(STORE, Stored(Place("b-b", "a/c.jsonl"), 3, 4)))
    assert (file.filename, file.bytes, file.id) == ("c.jsonl", 3, "s3%3A%2F%2Fb-b%2Fa%2Fc.jsonl")


def test_hyperparameters_stand_in_the_method_or_beside_it():
    assert tuning_parameters({"hyperparameters": {"n_epochs": 1, "batch_size": "auto"}}) == {"n_epochs": 1}
    assert tuning_parameters({"method": {"type": "supervised", "supervised": {"hyperparameters": {"x": "y"}}}}) == {
        "x": "y"
    }
    for body in ({"method": {"type": "dpo"}}, {"hyperparameters": [1]}, {"hyperparameters": {"a": []}}):
        with pytest.raises(BadRequest):
            tuning_parameters(body)


def test_a_request_is_unsigned_and_has_its_headers():
    request = request_to("https://x", "PUT", b"a", content_type="b")
    assert (request.method, request.body, request.headers) == ("PUT", b"a", {"content-type": "b"})
