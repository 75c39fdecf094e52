"""What is peculiar to Voyage: ranks under another name, errors that are a detail, prices of its own."""

from dataclasses import replace

import orjson

from data_plane.core.types import CallFacts, Usage
from data_plane.providers.voyage import PROVIDER
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply

RANK, EMBED = PROVIDER.operations["rerank"], PROVIDER.operations["embed"]
FACTS = CallFacts("rerank-2.5", False, True, {}, {})


def test_ranks_are_asked_for_and_read_in_voyages_words():
    asked = {"model": "@x/y", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 2, "return_documents": True}
    assert RANK.encode({**asked, "truncation": False}, FACTS) == {
        "model": "rerank-2.5", "query": "q", "documents": ["a", "b"], "top_k": 2, "truncation": False,
    }  # fmt: skip
    data = [{"relevance_score": 0.4, "index": 0}, {"relevance_score": 0.8, "index": 1}]
    answer = {"object": "list", "data": data, "model": "rerank-2.5", "usage": {"total_tokens": 26}}
    made = RANK.decode(answer, replace(FACTS, asked=asked))
    assert made["results"][0] == {"index": 1, "relevance_score": 0.8, "document": {"text": "b"}}
    assert RANK.usage(made) == Usage(26)


def test_an_error_is_a_detail():
    assert EMBED.fault(400, {"detail": "Argument 'input' is too long"}).message == "Argument 'input' is too long"


def test_it_lives_at_its_address_and_has_its_prices():
    assert (
        EMBED.url_for(PROVIDER.base_url, CallFacts("voyage-3", False, True, {}, {}))
        == "https://api.voyageai.com/v1/embeddings"
    )
    assert RANK.url_for(PROVIDER.base_url, FACTS) == "https://api.voyageai.com/v1/rerank"
    assert PROVIDER.price_source == "voyageai"


async def test_ranks_come_in_one_form_and_are_recorded(tmp_path):
    data = [{"relevance_score": 0.4, "index": 0}, {"relevance_score": 0.8, "index": 1}]
    reply = Reply(json={"object": "list", "data": data, "model": "rerank-2.5", "usage": {"total_tokens": 26}})
    body = {
        "model": "rerank-2.5",
        "query": "q",
        "documents": ["a" * 200_000, "b" * 200_000],
        "return_documents": True,
        "top_n": 1,
    }
    async with FakeProvider([reply]) as fake, gateway(tmp_path) as gw:
        headers = {
            "x-portkey-provider": "voyage",
            "authorization": "Bearer pa-key",
            "x-portkey-custom-host": fake.base_url,
        }
        status, answered, _ = await gw.send(body, headers, path="/v1/rerank")
    told = orjson.loads(answered)
    assert (status, fake.seen[0].json["top_k"], fake.seen[0].json["documents"]) == (200, 1, body["documents"])
    assert told["results"] == [{"index": 1, "relevance_score": 0.8, "document": {"text": "b" * 200_000}}]
    assert (gw.recorded.last.tok_in, gw.recorded.last.usage_source) == (26, "provider")
