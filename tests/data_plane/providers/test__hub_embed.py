"""Do embeddings reach Hugging Face's pipeline, or an endpoint of one's own, and come back as a list?"""

import copy
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from data_plane.core.types import CallFacts
from data_plane.providers._hub_embed import decode_vectors, embed_path, encode_request
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

MODEL = "intfloat/multilingual-e5-large"
OWN = {"huggingface_base_url": "https://x.endpoints.huggingface.cloud"}


def decode(content, facts):
    return decode_vectors(orjson.dumps(content), "application/json", facts, provider="huggingface")


def test_the_model_stands_in_the_path_of_the_pipeline(facts):
    assert embed_path(facts(MODEL)) == f"/hf-inference/models/{MODEL}/pipeline/feature-extraction"
    assert embed_path(facts("a?b")) == "/hf-inference/models/a%3Fb/pipeline/feature-extraction"
    assert embed_path(facts(MODEL, settings=OWN)) == "/v1/embeddings"


@pytest.mark.parametrize("model", ["", "a/..", "..", "a//b"])
def test_a_model_that_is_a_step_is_refused(facts, model):
    with pytest.raises(BadRequest):
        embed_path(facts(model))


def test_texts_are_inputs_and_the_pipelines_own_words_pass(facts):
    body = {
        "model": "@x/y",
        "input": "a",
        "normalize": True,
        "truncate": True,
        "encoding_format": "base64",
        "user": "u",
    }
    before = copy.deepcopy(body)
    assert encode_request(body, facts(MODEL), provider="huggingface") == {
        "inputs": ["a"], "normalize": True, "truncate": True,
    }  # fmt: skip
    assert body == before


def test_an_endpoint_of_ones_own_has_openais_words(facts):
    body = {"model": "@x/y", "input": [[1, 2]], "encoding_format": "base64"}
    assert encode_request(body, facts("tgi", settings=OWN), provider="huggingface") == {**body, "model": "tgi"}


@pytest.mark.parametrize(
    ("given_input", "refusal"), [([[1]], Unsupported), ([{"text": "a"}], Unsupported), ([], BadRequest)]
)
def test_what_is_no_text_is_refused(facts, given_input, refusal):
    with pytest.raises(refusal):
        encode_request({"input": given_input}, facts(MODEL), provider="huggingface")


def test_vectors_are_a_list(facts):
    made = decode([[0.5], [1]], facts(MODEL))
    assert [row["embedding"] for row in made["data"]] == [[0.5], [1]]
    assert (made["model"], made["provider"]) == (MODEL, "huggingface")
    assert decode([0.5, 1.0], facts(MODEL))["data"][0]["embedding"] == [0.5, 1.0]
    packed = decode([[0.5]], replace(facts(MODEL), asked={"encoding_format": "base64"}))
    assert packed["data"][0]["embedding"] == "AAAAPw=="
    CreateEmbeddingResponse.model_validate({**made, "usage": {"prompt_tokens": 0, "total_tokens": 0}})


@pytest.mark.parametrize("content", [[[[0.5]]], [], {}, "x", [["a"]], [[None], []], [{}]])
def test_what_is_not_one_vector_for_each_text_is_refused(facts, content):
    with pytest.raises(UpstreamInvalid):
        decode(content, facts(MODEL))


@given(
    content=st.binary(max_size=8) | st.recursive(st.none() | st.floats(), st.lists, max_leaves=6).map(orjson.dumps),
    base64=st.booleans(),
)
def test_whatever_comes_is_translated_or_refused(content, base64):
    facts = CallFacts("m", False, True, {}, {}, False, {"encoding_format": "base64" if base64 else "float"})
    try:
        outcome = decode_vectors(content, "", facts, provider="huggingface")
    except UpstreamInvalid as refusal:
        outcome = refusal.body()
    assert isinstance(outcome, dict)
