"""Does Anthropic's event stream become OpenAI chunks that OpenAI's own client understands?"""

import json

import pytest

from data_plane.core.types import Usage
from data_plane.providers._anthropic_stream import MessageDecoder
from shared.errors import UpstreamBroken
from tests.fakes import messages_api

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "model": "claude-x", "role": "assistant", "content": [],
        "usage": {
            "input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 1,
        },
    },
}  # fmt: skip
STOP = {"type": "message_stop"}


def block(index, **block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index, **delta):
    return {"type": "content_block_delta", "index": index, "delta": delta}


def closed(index):
    return {"type": "content_block_stop", "index": index}


def ended(reason="end_turn", tokens=9):
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": tokens}}


TEXT = [START, block(0, type="text", text=""), delta(0, type="text_delta", text="Hi"), closed(0)]


@pytest.fixture
def decoder(facts):
    def make(**options):
        return MessageDecoder(facts(stream=True, **options), provider="anthropic")

    return make


def deltas(chunks):
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def calls_of(chunks):
    """Put tool calls together as a client does."""
    calls = {}
    for made in deltas(chunks):
        for part in made.get("tool_calls", ()):
            call = calls.setdefault(part["index"], {"id": None, "name": None, "arguments": ""})
            call["id"] = part.get("id", call["id"])
            call["name"] = part["function"].get("name", call["name"])
            call["arguments"] += part["function"]["arguments"]
    return calls


def test_a_text_is_role_text_and_end(decoder, drain):
    chunks = drain(decoder(), [*TEXT, {"type": "ping"}, ended(), STOP])
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "Hi"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "stop"]
    assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        ("msg_1", "claude-x", "chat.completion.chunk")
    }


def test_the_answer_is_complete_only_at_message_stop(decoder, drain):
    stream = decoder()
    drain(stream, [*TEXT, ended()])
    assert not stream.finished
    assert drain(stream, [STOP]) == []
    assert stream.finished


def test_a_message_that_stops_without_a_reason_still_has_an_end(decoder, drain):
    assert drain(decoder(), [*TEXT, STOP])[-1]["choices"][0]["finish_reason"] == "stop"


def test_text_that_stands_in_the_start_of_a_block_is_not_lost(decoder, drain):
    assert deltas(drain(decoder(), [START, block(0, type="text", text="Hi")]))[-1] == {"content": "Hi"}


def test_model_and_tokens_are_noted_as_they_come(decoder, drain):
    stream = decoder()
    drain(stream, TEXT)
    assert (stream.model, stream.usage) == ("claude-x", Usage(16, 1, cache_read=4, cache_write=2))
    drain(stream, [ended(tokens=9)])
    assert stream.usage == Usage(16, 9, cache_read=4, cache_write=2)


def test_a_zero_behind_a_number_does_not_erase_it(decoder, drain):
    stream = decoder()
    drain(stream, [START, {**ended(), "usage": {"input_tokens": 0, "output_tokens": 5}}])
    assert (stream.usage.input, stream.usage.output) == (16, 5)


def test_a_stream_that_counts_nothing_claims_no_tokens(decoder, drain):
    stream = decoder(include_usage=True)
    chunks = drain(stream, [{"type": "message_start", "message": {"id": "m"}}, {"type": "message_delta"}, STOP])
    assert stream.usage is None
    assert all(chunk["choices"] for chunk in chunks)


def test_tokens_are_shown_to_a_caller_who_asked(decoder, drain):
    last = drain(decoder(include_usage=True), [*TEXT, ended(), STOP])[-1]
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 16, "completion_tokens": 9, "total_tokens": 25, "prompt_tokens_details": {"cached_tokens": 4},
        "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2,
    }  # fmt: skip


def test_tokens_are_not_shown_to_a_caller_who_did_not_ask(decoder, drain):
    assert all("usage" not in chunk for chunk in drain(decoder(), [*TEXT, ended(), STOP]))


def test_parallel_calls_interleaved_with_text_keep_their_own_numbers(decoder, drain):
    chunks = drain(
        decoder(),
        [
            *TEXT,
            block(1, type="tool_use", id="toolu_1", name="weather", input={}),
            delta(1, type="input_json_delta", partial_json=""),
            delta(1, type="input_json_delta", partial_json='{"city":'),
            block(2, type="tool_use", id="toolu_2", name="now", input={}),
            delta(1, type="input_json_delta", partial_json='"Oslo"}'),
            closed(1),
            delta(2, type="input_json_delta", partial_json='{"tz":1}'),
            closed(2),
            ended("tool_use"),
            STOP,
        ],
    )
    assert calls_of(chunks) == {
        0: {"id": "toolu_1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        1: {"id": "toolu_2", "name": "now", "arguments": '{"tz":1}'},
    }
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("given", "arguments"), [({}, "{}"), (None, "{}"), ({"a": 1}, '{"a":1}')])
def test_a_call_that_streams_no_arguments_has_an_object_of_them(decoder, drain, given, arguments):
    events = [START, block(0, type="tool_use", id="t", name="now", input=given), closed(0)]
    assert calls_of(drain(decoder(), events))[0]["arguments"] == arguments


def test_the_input_of_a_server_tool_is_no_tool_call(decoder, drain):
    events = [
        START, block(0, type="server_tool_use", id="s", name="web_search", input={}),
        delta(0, type="input_json_delta", partial_json="{}"), closed(0),
    ]  # fmt: skip
    assert calls_of(drain(decoder(strict=False), events)) == {}


THINKING = [
    START, block(0, type="thinking", thinking=""), delta(0, type="thinking_delta", thinking="hm"),
    delta(0, type="signature_delta", signature="s"), closed(0),
]  # fmt: skip


def test_thinking_and_its_signature_reach_callers_who_are_not_strict(decoder, drain):
    assert deltas(drain(decoder(strict=False), THINKING))[1:] == [
        {"content_blocks": [{"index": 0, "delta": {"type": "thinking", "thinking": ""}}]},
        {"content_blocks": [{"index": 0, "delta": {"thinking": "hm"}}]},
        {"content_blocks": [{"index": 0, "delta": {"signature": "s"}}]},
    ]


def test_strict_callers_see_no_thinking_and_no_citations(decoder, drain):
    events = [*THINKING, delta(1, type="citations_delta", citation={"cited_text": "x"})]
    assert len(drain(decoder(), events)) == 1


def test_events_deltas_and_blocks_of_unknown_types_are_passed_over(decoder, drain):
    events = [START, {"type": "new_event", "x": 1}, delta(0, type="new_delta"), block(1, type="new_block"), closed(1)]
    assert len(drain(decoder(), events)) == 1


def test_an_error_event_breaks_the_stream_with_the_providers_sentence(decoder, drain):
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(UpstreamBroken, match=r"^anthropic error: Overloaded$"):
        drain(decoder(), [*TEXT, ("error", error)])


@pytest.mark.parametrize("raw", [b"{", b"[1]", b"{}", b'{"type":1}', b'{"type":"message_start","message":3}', b"\xff"])
def test_an_event_that_cannot_be_understood_breaks_the_stream(decoder, raw):
    with pytest.raises(UpstreamBroken, match="anthropic sent a piece of the answer that cannot be understood"):
        decoder().feed("", raw)


def test_an_empty_event_is_nothing(decoder):
    assert decoder().feed("ping", b"") == []


def test_a_whole_stream_of_the_strict_fake_adds_up_to_its_whole_answer(decoder, drain):
    body = {
        "model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "use weather for Oslo"}],
        "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}],
    }  # fmt: skip
    whole = messages_api.answer(body)
    stream = decoder()
    chunks = drain(stream, messages_api.events(body))
    assert "".join(made.get("content") or "" for made in deltas(chunks)) == whole["content"][0]["text"]
    assert json.loads(calls_of(chunks)[0]["arguments"]) == whole["content"][1]["input"]
    assert stream.finished
