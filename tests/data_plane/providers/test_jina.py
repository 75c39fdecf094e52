"""What is peculiar to Jina: names of its own, pictures, and documents that it would send back unasked."""

import copy
from dataclasses import replace

import pytest

from data_plane.core.types import CallFacts, Usage
from data_plane.providers.jina import PROVIDER
from shared.errors import BadRequest, Unsupported

EMBED, RANK = PROVIDER.operations["embed"], PROVIDER.operations["rerank"]
FACTS = CallFacts("jina-embeddings-v4", False, True, {}, {})


def encode(**body):
    whole = {"model": "@x/y", **body}
    before = copy.deepcopy(whole)
    made = EMBED.encode(whole, FACTS)
    assert whole == before
    return made


def test_options_have_jinas_names():
    assert encode(input="a", encoding_format="base64", dimensions=64, task="retrieval.query", late_chunking=True, user="u") == {
        "model": "jina-embeddings-v4", "input": ["a"], "embedding_type": "base64", "dimensions": 64,
        "task": "retrieval.query", "late_chunking": True,
    }  # fmt: skip
    assert encode(input="a", encoding_format="float", embedding_type="ubinary")["embedding_type"] == "ubinary"


@pytest.mark.parametrize(("image", "sent"), [
    ("https://x.example/1.png", "https://x.example/1.png"), ({"url": "https://x.example/1.png"}, "https://x.example/1.png"),
    ({"base64": "AAAA"}, "AAAA"), ("data:image/png;base64,AAAA", "AAAA"), ("AAAA", "AAAA"),
])  # fmt: skip
def test_pictures_are_urls_or_base64(image, sent):
    assert encode(input=["a", {"text": "b"}, {"image": image}])["input"] == ["a", {"text": "b"}, {"image": sent}]


def test_what_is_not_embedded_is_refused():
    with pytest.raises(Unsupported, match="jina embeds texts, not tokens"):
        encode(input=[[1, 2]])
    with pytest.raises(BadRequest):
        encode(input=[{"image": {}}])


def test_vectors_are_as_the_caller_wants_them_and_counted():
    rows = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    answer = {"model": "m", "object": "list", "usage": {"total_tokens": 5, "prompt_tokens": 5}, "data": rows}
    packed = EMBED.decode(copy.deepcopy(answer), replace(FACTS, asked={"encoding_format": "base64"}))
    assert (packed["data"][0]["embedding"], EMBED.usage(packed)) == ("AAAAPw==", Usage(5))
    assert EMBED.decode(answer, FACTS)["data"] == rows


def test_documents_come_from_the_gateway_not_from_jina():
    asked = {"model": "@x/y", "query": "q", "documents": ["a"], "return_documents": True, "top_n": 1}
    sent = RANK.encode(asked, FACTS)
    assert (sent["return_documents"], sent["documents"], sent["top_n"]) == (False, ["a"], 1)
    answer = {"results": [{"index": 0, "relevance_score": 0.9}], "usage": {"total_tokens": 9}}
    assert RANK.decode(answer, replace(FACTS, asked=asked))["results"][0]["document"] == {"text": "a"}


def test_an_error_is_a_detail():
    assert EMBED.fault(422, {"detail": "Model 'x' not found"}).message == "Model 'x' not found"
    assert PROVIDER.base_url == "https://api.jina.ai/v1"
