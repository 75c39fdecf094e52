"""Do ranks reach Google's ranking API, and nothing else of Google's, and come back in the normal form?"""

import copy

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import NO_USAGE, CallFacts
from data_plane.providers._vertex_rank import decode_records, encode_records, vertex_rank
from data_plane.providers.vertex_ai import PROVIDER
from shared.errors import BadRequest, Unsupported, UpstreamInvalid
from tests.data_plane.pipeline.bulk.bulk_kit import staged
from tests.fakes.provider import Reply

MODEL = "semantic-ranker-default@latest"
SETTINGS = {"vertex_project_id": "proj", "vertex_region": "europe-west1"}
OWN = "https://europe-west1-aiplatform.googleapis.com/v1/projects/proj/locations/europe-west1"
PATH = "/v1/projects/proj/locations/global/rankingConfigs/default_ranking_config:rank"
BODY = {
    "model": "@x/y", "query": "q", "documents": ["a", {"text": "b", "title": "B"}, {"about": "c", "title": "C"}],
    "top_n": 2, "return_documents": True, "userLabels": {"team": "a"},
}  # fmt: skip
ANSWER = {"records": [{"id": "1", "score": 0.25}, {"id": "0", "score": 0.75}]}


def asked(**changes):
    return CallFacts(MODEL, False, True, {}, SETTINGS, False, {**BODY, **changes})


def test_documents_are_records_named_by_where_they_stand():
    before = copy.deepcopy(BODY)
    assert encode_records(BODY, asked()) == {
        "model": MODEL, "query": "q", "topN": 2, "ignoreRecordDetailsInResponse": True, "userLabels": {"team": "a"},
        "records": [
            {"id": "0", "content": "a"}, {"id": "1", "content": "b", "title": "B"},
            {"id": "2", "content": "about: c\ntitle: C"},
        ],
    }  # fmt: skip
    assert before == BODY


def test_fields_that_are_to_be_ranked_are_all_that_is_sent():
    body = {**BODY, "documents": [{"text": "b", "title": "B"}], "rank_fields": ["text"]}
    assert encode_records(body, asked())["records"] == [{"id": "0", "content": "text: b"}]


@pytest.mark.parametrize("model", [MODEL, f"google/{MODEL}", f"publishers/google/models/{MODEL}"])
def test_a_ranker_is_named_as_the_other_models_of_google_are(facts, model):
    assert encode_records(BODY, facts(model))["model"] == MODEL


@pytest.mark.parametrize("model", ["claude-x", "meta/llama-3", "endpoints.12"])
def test_a_model_of_another_publisher_ranks_nothing(facts, model):
    with pytest.raises(Unsupported, match="rerank is not supported by vertex-ai"):
        encode_records(BODY, facts(model))


@pytest.mark.parametrize(("base_url", "origin"), [
    (OWN, "https://discoveryengine.googleapis.com"), ("https://proxy.example:8443/vertex", "https://proxy.example:8443"),
])  # fmt: skip
def test_the_ranking_api_is_beside_vertex_ai_and_at_an_address_of_the_accounts_own(base_url, origin):
    assert vertex_rank().url_for(base_url, asked()) == origin + PATH


def test_a_ranking_needs_a_project(facts):
    with pytest.raises(BadRequest, match="vertex_project_id is required") as raised:
        vertex_rank().path_for(facts(MODEL))
    assert raised.value.path == "vertex_project_id"


def test_the_best_comes_first_with_its_document_and_without_tokens():
    told = decode_records(ANSWER, asked())
    assert told == {
        "object": "list", "model": MODEL, "provider": "vertex-ai",
        "results": [
            {"index": 0, "relevance_score": 0.75, "document": {"text": "a"}},
            {"index": 1, "relevance_score": 0.25, "document": {"text": "b", "title": "B"}},
        ],
    }  # fmt: skip
    assert vertex_rank().usage(told) is NO_USAGE


@pytest.mark.parametrize("record", [
    {"id": "x", "score": 1}, {"id": "-1", "score": 1}, {"id": 1, "score": 1}, {"id": "7", "score": 1}, {"id": "1"}, {"id": "²", "score": 1},
    {"id": "1" * 5000, "score": 1}, {"score": 1}, "1", None,
])  # fmt: skip
def test_a_rank_of_what_nobody_sent_is_refused(record):
    with pytest.raises(UpstreamInvalid, match="Invalid response received from vertex-ai"):
        decode_records({"records": [record]}, asked())


TEXTS = st.sampled_from(["0", "1", "x", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | TEXTS,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.sampled_from(["id", "score", "message", "code"]), of),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["records", "error", "message"]), JSON), st.booleans())
def test_whatever_google_answers_is_decoded_or_refused(answer, wanted):
    try:
        outcome = decode_records(answer, asked(return_documents=wanted))
    except UpstreamInvalid as refusal:
        outcome = refusal.body()
    assert orjson.dumps(outcome)


def test_a_key_is_sealed_for_the_ranking_api_too():
    assert "https://discoveryengine.googleapis.com" in PROVIDER.hosts


async def test_a_ranking_goes_through_a_whole_gateway(tmp_path):
    def google(seen):
        assert (seen.method, seen.target, seen.headers["authorization"]) == ("POST", PATH, "Bearer google-token")
        if len(seen.json["records"]) > 2:
            return Reply(400, json={"error": {"code": 400, "message": "too many", "status": "INVALID_ARGUMENT"}})
        return Reply(json={"records": [{"id": "1", "score": 0.9}]})

    async with staged(
        tmp_path, google, provider="vertex-ai", settings=SETTINGS, secrets={}, path="/vertex", key="google-token"
    ) as stage:
        body = {"model": f"@cloud/{MODEL}", "query": "q", "documents": ["a", "b"], "top_n": 1}
        status, content, _ = await stage.gw.send(body, path="/v1/rerank")
        told = orjson.loads(content)
        assert (status, told["results"]) == (200, [{"index": 1, "relevance_score": 0.9}])
        status, content, _ = await stage.gw.send({**body, "documents": ["a", "b", "c"]}, path="/v1/rerank")
        assert (status, orjson.loads(content)["error"]["message"]) == (400, "vertex-ai error: too many")
        assert [record.endpoint for record in stage.records] == ["rerank", "rerank"]
