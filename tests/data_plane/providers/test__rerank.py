"""Do ranks have one form, whoever makes them?"""

import copy
from dataclasses import replace

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.providers._rerank import decode_ranks, document_texts, own_words, rank_usage, rerank
from shared.errors import BadRequest, UpstreamInvalid

TEXTS = ["about cats", "about ducks", "about geese"]
RANKS = [{"index": 2, "relevance_score": 0.2}, {"index": 1, "relevance_score": 0.9}]


@pytest.fixture
def decode(facts):
    def run(answer, *, strict=True, **asked):
        known = replace(facts("r-1", strict=strict), asked={"query": "q", "documents": TEXTS, **asked})
        return decode_ranks(copy.deepcopy(answer), known, provider="p")

    return run


# Each answer after the documentation of the provider that gives it.
SHAPES = {
    "cohere": (
        {"results": RANKS, "id": "x", "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}},
        Usage(searches=1),
    ),
    "voyage": ({"object": "list", "data": RANKS, "model": "r", "usage": {"total_tokens": 26}}, Usage(26)),
    "jina": (
        {"model": "r", "object": "list", "results": RANKS, "usage": {"prompt_tokens": 26, "total_tokens": 26}},
        Usage(26),
    ),
    "together": (
        {"object": "rerank", "id": "x", "model": "r", "results": [{**r, "document": {"text": "?"}} for r in RANKS],
         "usage": {"prompt_tokens": 1837, "completion_tokens": 0, "total_tokens": 1837}},
        Usage(1837),
    ),
    "siliconflow": (
        {"id": "x", "results": RANKS,
         "meta": {"billed_units": {"input_tokens": 9, "output_tokens": 0, "search_units": 0, "classifications": 0},
                  "tokens": {"input_tokens": 9, "output_tokens": 0}}},
        Usage(9),
    ),
    "siliconflow before": ({"id": "x", "results": RANKS, "tokens": {"input_tokens": 9, "output_tokens": 0}}, Usage(9)),
    "openrouter": (
        {"id": "x", "model": "r", "provider": "Cohere", "results": RANKS,
         "usage": {"cost": 0.001, "search_units": 1, "total_tokens": 150}},
        Usage(150, searches=1),
    ),
    "fireworks": ({"object": "list", "model": "r", "data": RANKS, "usage": {"total_tokens": 7}}, Usage(7)),
    "a count of whole floats": ({"results": RANKS, "meta": {"billed_units": {"search_units": 2.0}}}, Usage(searches=2)),
    "bedrock": ({"results": RANKS}, NO_USAGE),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "counted"), SHAPES.values(), ids=SHAPES.keys())
def test_every_hosts_answer_has_one_form_and_is_counted(decode, answer, counted):
    made = decode(answer)
    assert made["results"] == [{"index": 1, "relevance_score": 0.9}, {"index": 2, "relevance_score": 0.2}]
    assert (made["object"], made["model"], made["provider"]) == ("list", answer.get("model", "r-1"), "p")
    assert set(made) <= {"id", "object", "model", "results", "usage", "provider"}
    assert list(made)[-1] == "provider"
    assert rank_usage(answer) == rank_usage(made) == counted
    assert ("usage" in made) == (counted is not NO_USAGE)


def test_usage_says_what_was_counted(decode):
    assert decode(SHAPES["openrouter"][0])["usage"] == {"prompt_tokens": 150, "total_tokens": 150, "search_units": 1}
    assert decode(SHAPES["cohere"][0])["usage"] == {"search_units": 1}


def test_the_providers_other_members_are_kept_for_who_wants_them(decode):
    assert decode(SHAPES["cohere"][0], strict=False)["meta"] == SHAPES["cohere"][0]["meta"]
    assert list(decode(SHAPES["cohere"][0], strict=False))[-1] == "provider"


def test_documents_come_back_if_they_are_asked_for_and_are_the_callers_own(decode):
    objects = [{"text": "a", "url": "u"}, {"text": "b"}, "c"]
    made = decode({"results": RANKS}, return_documents=True, documents=objects)
    assert [row["document"] for row in made["results"]] == [{"text": "b"}, {"text": "c"}]
    told = [{**rank, "document": {"text": "theirs"}} for rank in RANKS]
    assert all("document" not in row for row in decode({"results": told})["results"])


def test_documents_come_back_from_a_body_that_was_too_large_to_read(facts):
    asked = {"documents": msgspec.Raw(orjson.dumps(TEXTS)), "return_documents": True, "query": "q"}
    made = decode_ranks({"results": RANKS}, replace(facts(), asked=asked), provider="p")
    assert made["results"][0]["document"] == {"text": "about ducks"}


def test_no_more_ranks_come_than_are_asked_for(decode):
    assert [row["index"] for row in decode({"results": RANKS}, top_n=1)["results"]] == [1]


@pytest.mark.parametrize(("answer", "told"), [
    ({}, "Invalid response"), ({"results": 1}, "Invalid response"), ({"results": [{"index": 0}]}, "Invalid response"),
    ({"results": [{"index": -1, "relevance_score": 1}]}, "Invalid response"), ({"results": [None]}, "Invalid response"),
    ({"results": [{"index": True, "relevance_score": 1}]}, "Invalid response"),
    ({"results": [{"index": 0, "relevance_score": "1"}]}, "Invalid response"),
    ({"error": {"message": "no"}}, "p error: no"), ({"detail": "no"}, "p error: no"), ({"message": "no"}, "p error: no"),
])  # fmt: skip
def test_what_ranks_nothing_is_refused(decode, answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        decode(answer)


def test_a_rank_of_a_document_that_nobody_sent_is_refused_where_it_is_looked_up(decode):
    with pytest.raises(UpstreamInvalid):
        decode({"results": [{"index": 3, "relevance_score": 1}]}, return_documents=True)


def test_objects_are_ranked_by_their_text_or_by_the_fields_that_are_named():
    documents = ["a", {"text": "b", "id": 1}, {"title": "c", "year": 2, "tags": ["x"]}]
    assert document_texts({"documents": documents}) == ["a", "b", 'title: c\nyear: 2\ntags: ["x"]']
    assert document_texts({"documents": documents[1:2], "rank_fields": ["id", "text", "none"]}) == ["id: 1\ntext: b"]


@pytest.mark.parametrize(("body", "path"), [
    ({}, "documents"), ({"documents": []}, "documents"), ({"documents": "a"}, "documents"),
    ({"documents": ["a", 5]}, "documents[1]"), ({"documents": [{}]}, "documents[0]"),
    ({"documents": [{"n": 10**40}]}, "documents[0]"),
    ({"documents": ["a"], "rank_fields": "x"}, "rank_fields"), ({"documents": [{"a": 1}], "rank_fields": ["b"]}, "documents[0]"),
])  # fmt: skip
def test_what_is_no_document_is_refused_with_its_place(body, path):
    with pytest.raises(BadRequest) as refusal:
        document_texts(body)
    assert refusal.value.path == path


def test_a_hosts_own_words_are_what_is_not_in_the_normal_form():
    asked = {"model": "m", "query": "q", "documents": [], "top_n": 1, "return_documents": True, "truncation": False}
    assert own_words(asked) == {"truncation": False}


def test_where_the_normal_form_is_spoken_a_request_passes_unread(facts):
    documents = msgspec.Raw(b'["a"]')
    encoded = rerank("p").encode({"model": "@x/y", "documents": documents, "max_chunks_per_doc": 3}, facts("r-1"))
    assert encoded == {"model": "r-1", "documents": documents, "max_chunks_per_doc": 3}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["index", "relevance_score", "score", "text", "search_units", "billed_units", "total_tokens"]), inner),
    max_leaves=8,
)  # fmt: skip


@given(
    answer=st.dictionaries(
        st.sampled_from(["results", "data", "usage", "meta", "tokens", "error", "model", "id"]), JSON
    ),
    asked=st.fixed_dictionaries({"documents": JSON, "return_documents": JSON, "top_n": JSON, "rank_fields": JSON}),
    strict=st.booleans(),
)
def test_whatever_comes_is_translated_or_refused(answer, asked, strict):
    outcomes = []
    try:
        outcomes.append(decode_ranks(answer, CallFacts("m", False, strict, {}, {}, False, asked), provider="p"))
    except UpstreamInvalid as refusal:
        outcomes.append(refusal.body())
    try:
        outcomes.append({"texts": document_texts(asked)})
    except BadRequest as refusal:
        outcomes.append(refusal.body())
    assert isinstance(rank_usage(answer), Usage)
    assert all(isinstance(orjson.dumps(outcome), bytes) for outcome in outcomes)
