"""What is peculiar to the Gemini API: its key's header, its addresses, and its tiers."""

import orjson
import pytest

from data_plane.core.job import Choice, Job
from data_plane.core.types import Credential, Usage
from data_plane.pipeline.encode import upstream_request
from data_plane.pipeline.target import Destination
from data_plane.providers.google import PROVIDER
from shared.errors import BadRequest
from shared.redact import Secret
from shared.routing.plan import DEFAULT_PLAN, Target
from shared.trace import Trace

MESSAGES = [{"role": "user", "content": "q"}]


def sent(operation, body, facts):
    job = Job(operation, DEFAULT_PLAN, body, facts.model, facts.stream, Choice())
    place = Destination(
        PROVIDER, PROVIDER.operations[operation], Credential(Secret("AIza")), PROVIDER.base_url, body, facts, None
    )
    return upstream_request(place, Target("config"), job, Trace("t", "s", None, None), frozenset())


@pytest.mark.parametrize(("stream", "method"), [(False, "generateContent"), (True, "streamGenerateContent?alt=sse")])
def test_the_model_stands_in_the_address_and_the_key_in_a_header(facts, stream, method):
    request = sent("chat", {"messages": MESSAGES, "stream": stream}, facts("gemini-2.5-pro", stream=stream))
    assert request.url == f"https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:{method}"
    assert request.headers["x-goog-api-key"] == "AIza"
    assert "authorization" not in request.headers
    assert orjson.loads(request.body) == {"contents": [{"role": "user", "parts": [{"text": "q"}]}]}


@pytest.mark.parametrize(("model", "place"), [
    ("models/gemini-x", "/models/gemini-x"), ("tunedModels/t", "/tunedModels/t"), ("gemma-3", "/models/gemma-3"),
])  # fmt: skip
def test_a_model_may_be_named_with_its_collection(facts, model, place):
    assert PROVIDER.operations["chat"].path_for(facts(model)) == f"{place}:generateContent"


@pytest.mark.parametrize("model", ["", "../x", "files/x", "models/", "models/a/b", "a:b", "a?key=x"])
def test_a_name_that_is_none_is_refused(facts, model):
    with pytest.raises(BadRequest) as raised:
        PROVIDER.operations["chat"].path_for(facts(model))
    assert raised.value.path == "model"


def test_tiers_are_sold(facts):
    body = {"messages": MESSAGES, "service_tier": "flex"}
    assert orjson.loads(sent("chat", body, facts("g")).body)["serviceTier"] == "flex"


def test_embeddings_are_a_batch(facts):
    request = sent("embed", {"input": ["a", "b"]}, facts("gemini-embedding-001"))
    assert request.url.endswith("/v1beta/models/gemini-embedding-001:batchEmbedContents")
    assert len(orjson.loads(request.body)["requests"]) == 2
    operation = PROVIDER.operations["embed"]
    answer = {"embeddings": [{"values": [0.5]}], "usageMetadata": {"promptTokenCount": 2}}
    decoded = operation.decode(answer, facts("gemini-embedding-001"))
    assert (decoded["data"][0]["embedding"], decoded["provider"], operation.usage(decoded)) == (
        [0.5],
        "google",
        Usage(2),
    )
    assert operation.fault(400, {"error": {"message": "m", "status": "INVALID_ARGUMENT"}}).type == "INVALID_ARGUMENT"


def test_prices_are_googles():
    assert (PROVIDER.id, PROVIDER.price_source) == ("google", "google")
