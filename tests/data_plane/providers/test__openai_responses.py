import orjson
import pytest

from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.providers.registry import load_providers
from shared.errors import UpstreamBroken, UpstreamInvalid

OPERATION = load_providers()["openai"].operations["responses"]
FACTS = CallFacts("gpt-5", True, True, {}, {})
USAGE = {"input_tokens": 5, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 2}}
EVENTS = [
    {"type": "response.created", "response": {"id": "r", "model": "gpt-5-1"}}, {"type": "response.output_text.delta", "delta": "hi"},
    {"type": "response.completed", "response": {"id": "r", "model": "gpt-5-1", "output": [], "usage": USAGE}},
]  # fmt: skip


def test_a_request_goes_out_with_all_it_has_and_the_bare_model():
    body = {"model": "@o/gpt-5", "input": "x", "previous_response_id": "r", "tools": [{"type": "web_search"}]}
    assert OPERATION.encode(body, FACTS) == {**body, "model": "gpt-5"}
    assert body["model"] == "@o/gpt-5"


def test_events_are_relayed_as_they_came_and_counted():
    decoder = OPERATION.decoder(FACTS)
    relayed = [orjson.loads(out) for event in EVENTS for out in decoder.feed("x", orjson.dumps(event))]
    assert relayed == EVENTS
    assert (decoder.finished, decoder.model, decoder.usage) == (True, "gpt-5-1", Usage(5, 7, cache_read=2))
    assert decoder.feed("", b"[DONE]") == []


@pytest.mark.parametrize("kind", ["response.failed", "response.incomplete"])
def test_an_answer_that_failed_has_ended_too(kind):
    decoder = OPERATION.decoder(FACTS)
    assert decoder.feed("", orjson.dumps({"type": kind, "response": {"error": {"message": "no"}}}))
    assert (decoder.finished, decoder.usage) == (True, NO_USAGE)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"x":1}', b'{"type":"error","message":"overloaded"}'])
def test_a_fault_in_a_stream_breaks_it(data):
    with pytest.raises(UpstreamBroken):
        OPERATION.decoder(FACTS).feed("", data)


def test_an_answer_is_named_and_counted():
    decoded = OPERATION.decode({"output": [], "usage": USAGE}, FACTS)
    assert (decoded["provider"], OPERATION.usage(decoded)) == ("openai", Usage(5, 7, cache_read=2))


@pytest.mark.parametrize("answer", [{}, {"output": "x"}, {"error": {"message": "no"}}])
def test_an_answer_that_is_none_is_refused(answer):
    with pytest.raises(UpstreamInvalid):
        OPERATION.decode(answer, FACTS)
