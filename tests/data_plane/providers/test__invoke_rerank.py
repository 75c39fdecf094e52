"""Do ranks reach each family of models on Bedrock in its own words?"""

import copy

import pytest

from data_plane.core.types import NO_USAGE, Usage
from data_plane.providers._invoke_rerank import encode_request, invoke_usage
from shared.errors import Unsupported

BODY = {"model": "@x/y", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True}
SENT = {"query": "q", "documents": ["a", "b"], "top_n": 1}


@pytest.mark.parametrize(("model", "sent"), [
    ("cohere.rerank-v3-5:0", {**SENT, "api_version": 2}), ("amazon.rerank-v1:0", SENT),
    ("arn:aws:bedrock:us-west-2::foundation-model/amazon.rerank-v1:0", SENT),
])  # fmt: skip
def test_each_family_gets_its_body(facts, model, sent):
    before = copy.deepcopy(BODY)
    assert encode_request(BODY, facts(model), provider="bedrock") == sent
    assert before == BODY


def test_what_a_model_knows_besides_passes(facts):
    made = encode_request({**BODY, "max_tokens_per_doc": 9, "api_version": 3}, facts("cohere.rerank-v4"), provider="b")
    assert (made["max_tokens_per_doc"], made["api_version"]) == (9, 3)


def test_a_model_that_ranks_nothing_is_unsupported(facts):
    with pytest.raises(Unsupported, match=r"rerank is not supported by bedrock with the model amazon\.nova-pro"):
        encode_request(BODY, facts("amazon.nova-pro-v1:0"), provider="bedrock")


@pytest.mark.parametrize(("told", "counted"), [
    ("12", Usage(12)), ("0", NO_USAGE), ("", NO_USAGE), ("-1", NO_USAGE), ("x", NO_USAGE), ("²", NO_USAGE), ("9" * 5000, NO_USAGE),
])  # fmt: skip
def test_tokens_that_stand_in_a_header_are_counted(told, counted):
    assert invoke_usage({"x-amzn-bedrock-input-token-count": told}) == counted
    assert invoke_usage({}) is NO_USAGE
