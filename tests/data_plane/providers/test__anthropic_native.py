import orjson
import pytest

from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.providers.registry import load_providers
from shared.errors import UpstreamBroken, UpstreamInvalid

OPERATION = load_providers()["anthropic"].operations["messages"]
FACTS = CallFacts("claude-x", True, True, {}, {})
EVENTS = [
    {"type": "message_start", "message": {"id": "m", "model": "claude-x-1", "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}}},
    {"type": "ping"}, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}, {"type": "message_stop"},
]  # fmt: skip


def test_a_request_goes_out_with_all_it_has_and_the_bare_model():
    body = {"model": "@a/claude-x", "messages": [], "invented": 1}
    assert OPERATION.encode(body, FACTS) == {"model": "claude-x", "messages": [], "invented": 1}
    assert body["model"] == "@a/claude-x"


def test_events_are_relayed_as_they_came_and_counted():
    decoder = OPERATION.decoder(FACTS)
    relayed = [orjson.loads(out) for event in EVENTS for out in decoder.feed("x", orjson.dumps(event))]
    assert relayed == EVENTS
    assert (decoder.finished, decoder.model, decoder.usage) == (True, "claude-x-1", Usage(5, 7, cache_read=2))
    assert OPERATION.framing.frame(b'{"type":"ping"}') == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert OPERATION.framing.end == b""


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"x":1}', b'{"type":"error","error":{"message":"overloaded"}}'])
def test_a_fault_in_a_stream_breaks_it(data):
    with pytest.raises(UpstreamBroken):
        OPERATION.decoder(FACTS).feed("", data)


def test_an_answer_is_named_and_counted():
    decoded = OPERATION.decode({"content": [], "usage": {"input_tokens": 3, "output_tokens": 2}}, FACTS)
    assert (decoded["provider"], OPERATION.usage(decoded)) == ("anthropic", Usage(3, 2))
    assert OPERATION.usage({"content": []}) is NO_USAGE


@pytest.mark.parametrize("answer", [{}, {"content": "x"}, {"error": {"message": "no"}}])
def test_an_answer_that_is_none_is_refused(answer):
    with pytest.raises(UpstreamInvalid):
        OPERATION.decode(answer, FACTS)
