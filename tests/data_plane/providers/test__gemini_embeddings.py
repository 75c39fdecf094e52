import copy
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.providers._gemini_embeddings import decode_embeddings, encode_batch, encode_content, encode_instances
from data_plane.providers._openai_like import usage_of
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

FACTS = CallFacts("gemini-embedding-001", False, True, {}, {})
BODY = {
    "model": "@x/y", "input": ["a", "b"], "dimensions": 8, "encoding_format": "base64", "user": "u",
    "task_type": "RETRIEVAL_QUERY",
}  # fmt: skip
decode = partial(decode_embeddings, facts=FACTS, provider="google")


def test_a_batch_is_a_request_for_each_text():
    before = copy.deepcopy(BODY)
    shared = {"model": "models/gemini-embedding-001", "outputDimensionality": 8, "taskType": "RETRIEVAL_QUERY"}
    assert encode_batch(BODY, FACTS, provider="google") == {
        "requests": [{**shared, "content": {"parts": [{"text": text}]}} for text in "ab"]
    }
    assert before == BODY


def test_a_model_may_be_named_with_its_collection():
    facts = CallFacts("tunedModels/t", False, True, {}, {})
    assert encode_batch({"input": "a"}, facts, provider="google")["requests"][0]["model"] == "tunedModels/t"


def test_instances_share_their_parameters():
    body = {**BODY, "title": "t", "autoTruncate": False, "invented": 1}
    assert encode_instances(body, FACTS, provider="vertex-ai") == {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY", "title": "t"} for text in "ab"],
        "parameters": {"outputDimensionality": 8, "autoTruncate": False, "invented": 1},
    }
    assert encode_instances({"input": "a"}, FACTS, provider="vertex-ai") == {"instances": [{"content": "a"}]}


def test_a_content_is_one_text():
    body = {"input": ["a"], "dimensions": 8}
    assert encode_content(body, FACTS, provider="vertex-ai") == {
        "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8,
    }  # fmt: skip
    with pytest.raises(Unsupported, match="vertex-ai embeds one input at a time"):
        encode_content(BODY, FACTS, provider="vertex-ai")


@pytest.mark.parametrize("encode", [encode_batch, encode_instances, encode_content])
@pytest.mark.parametrize(("given", "kind"), [
    ([1, 2], Unsupported), ([[1]], Unsupported), ([], BadRequest), (None, BadRequest), ([None], BadRequest), ({}, BadRequest),
])  # fmt: skip
def test_an_input_that_is_no_text_is_refused(encode, given, kind):
    with pytest.raises(kind) as raised:
        encode({"input": given}, FACTS, provider="google")
    assert raised.value.path == "input"


@pytest.mark.parametrize(("answer", "vectors", "usage"), [
    ({"embeddings": [{"values": [0.1]}, {"values": [0.2]}]}, [[0.1], [0.2]], NO_USAGE),
    ({"embeddings": [{"values": [0.1]}], "usageMetadata": {"promptTokenCount": 4}}, [[0.1]], Usage(4)),
    ({"embedding": {"values": [0.1]}, "usageMetadata": {"promptTokenCount": 4}}, [[0.1]], Usage(4)),
    ({"predictions": [{"embeddings": {"values": [0.1], "statistics": {"token_count": 2.0, "truncated": False}}},
                      {"embeddings": {"values": [0.2], "statistics": {"token_count": 3}}}]}, [[0.1], [0.2]], Usage(5)),
])  # fmt: skip
def test_every_shape_of_an_answer_is_openais_list(answer, vectors, usage):
    made = decode(answer)
    CreateEmbeddingResponse.model_validate({"usage": {"prompt_tokens": 0, "total_tokens": 0}, **made})
    assert [(one["index"], one["embedding"]) for one in made["data"]] == list(enumerate(vectors))
    assert (made["model"], made["provider"], list(made)[-1]) == ("gemini-embedding-001", "google", "provider")
    assert usage_of(made) == usage


@pytest.mark.parametrize("answer", [
    {}, {"embeddings": [7]}, {"embeddings": [{"values": 7}]}, {"predictions": [{}]}, {"embedding": {}},
    {"error": {"message": "sentinel"}},
])  # fmt: skip
def test_what_is_no_answer_is_the_providers_fault(answer):
    with pytest.raises(UpstreamInvalid, match="sentinel" if "error" in answer else "Invalid response"):
        decode(answer)


WORDS = [
    "embeddings",
    "embedding",
    "values",
    "predictions",
    "statistics",
    "token_count",
    "usageMetadata",
    "error",
    "message",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.just("x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5))
def test_any_answer_is_decoded_or_the_providers_fault(answer):
    try:
        made = decode(answer)
    except UpstreamInvalid:
        made = {"data": []}
    assert all(isinstance(one["embedding"], list) for one in made["data"])
    assert isinstance(usage_of(made), Usage)
