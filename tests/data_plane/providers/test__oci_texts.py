"""Do embeddings and ranks understand each other with Oracle's?"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._oci_texts import decode_embed, decode_oci_ranks, encode_embed, encode_ranks
from data_plane.providers._rerank import rank_usage
from data_plane.providers._vectors import vector_usage
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

PLACE = {"oracle_compartment_id": "c"}
SAID = {"compartmentId": "c", "servingMode": {"servingType": "ON_DEMAND", "modelId": "cohere.embed"}}


@pytest.fixture
def call(facts):
    return lambda **asked: replace(facts("cohere.embed", settings=PLACE), asked=asked)


def test_texts_are_sent_with_what_they_are_for(call):
    body = {
        "model": "x",
        "input": "a",
        "dimensions": 256,
        "input_type": "search_query",
        "truncate": "end",
        "user": "u",
        "isEcho": False,
    }
    assert encode_embed(body, call(), provider="oracle") == {
        **SAID, "inputs": ["a"], "outputDimensions": 256, "inputType": "SEARCH_QUERY", "truncate": "END", "isEcho": False,
    }  # fmt: skip


@pytest.mark.parametrize(("body", "error"), [
    ({"input": [1, 2]}, Unsupported), ({"input": [{"text": "a"}]}, BadRequest), ({"input": "a", "truncate": 1}, BadRequest),
])  # fmt: skip
def test_what_cannot_be_embedded_is_refused(call, body, error):
    with pytest.raises(error):
        encode_embed(body, call(), provider="oracle")


@pytest.mark.parametrize("told", [{"embeddings": [[0.5]]}, {"embeddingsByType": {"float": [[0.5]]}}])
def test_vectors_are_openais(call, told):
    answer = decode_embed({**told, "modelId": "m", "usage": {"promptTokens": 4}}, call(), provider="oracle")
    assert (answer["data"], answer["model"]) == ([{"object": "embedding", "index": 0, "embedding": [0.5]}], "m")
    assert (vector_usage(answer), answer["provider"]) == (Usage(4), "oracle")


def test_ranks_are_in_the_normal_form(call):
    body = {"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "isEcho": True}
    assert encode_ranks(body, call(), provider="oracle") == {
        **SAID, "input": "q", "documents": ["a", "b"], "topN": 1, "isEcho": True,
    }  # fmt: skip
    told = {"id": "r", "modelId": "m", "documentRanks": [{"index": 1, "relevanceScore": 0.9}, {"index": 0, "relevanceScore": 0.1}],
            "usage": {"promptTokens": 4}}  # fmt: skip
    answer = decode_oci_ranks(told, call(return_documents=True, documents=["a", "b"]), provider="oracle")
    assert answer["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "b"}},
        {"index": 0, "relevance_score": 0.1, "document": {"text": "a"}},
    ]  # fmt: skip
    assert (answer["id"], rank_usage(answer), answer["provider"]) == ("r", Usage(4), "oracle")


JSON = st.recursive(st.none() | st.floats() | st.text(max_size=3), lambda i: st.lists(i, max_size=3) | st.dictionaries(
    st.sampled_from(["float", "index", "relevanceScore", "promptTokens"]), i), max_leaves=10)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["embeddings", "embeddingsByType", "documentRanks", "usage", "message", "modelId"]), JSON
    )
)
def test_whatever_is_answered_is_a_list_or_the_providers_fault(told):
    for decode in (decode_embed, decode_oci_ranks):
        try:
            answer = decode(told, CallFacts("m", False, True, {}, {}), provider="oracle")
        except UpstreamInvalid:
            answer = {"object": "list"}
        assert answer["object"] == "list"
