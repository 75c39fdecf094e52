"""Does Oracle's event stream become OpenAI chunks that OpenAI's own client understands?"""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._oci_stream import OciDecoder
from data_plane.providers.sse import SseSplitter
from shared.errors import UpstreamBroken


def said(text=None, *, index=0, calls=None, **more):
    message = {"role": "ASSISTANT", **({"content": [{"type": "TEXT", "text": text}]} if text is not None else {})}
    return {"index": index, "message": {**message, **({"toolCalls": calls} if calls else {})}, "pad": "aa", **more}


def called(**more):
    return said(calls=[{"type": "FUNCTION", **more}])


COUNTED = {"usage": {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5}}
TEXT = [said("He"), said("llo é"), said(finishReason="stop"), COUNTED]
CALLS = [
    said("I ask."), called(id="a", name="f", arguments='{"x"'), called(arguments=":1}"), called(id="b", name="g"),
    said(finishReason="tool_calls"),
]  # fmt: skip
COHERE = [
    {"apiFormat": "COHERE", "text": "He"}, {"apiFormat": "COHERE", "text": "llo"},
    {"apiFormat": "COHERE", "text": "Hello", "finishReason": "COMPLETE", "usage": COUNTED["usage"]},
]  # fmt: skip


@pytest.fixture
def decoder(facts):
    return lambda **options: OciDecoder(facts("m-1", stream=True, **options), provider="oracle")


def deltas(chunks):
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_a_text_streams_with_role_first_and_reason_last(decoder, drain):
    one = decoder()
    chunks = drain(one, TEXT)
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "He"}, {"content": "llo é"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({(chunk["id"], chunk["model"]) for chunk in chunks}) == 1
    assert (one.finished, one.model, one.usage) == (True, "m-1", Usage(3, 2))


def test_tokens_are_a_chunk_of_their_own_once_for_who_asked(decoder, drain):
    chunks = drain(decoder(include_usage=True), [*TEXT, COUNTED])
    assert [chunk["usage"]["total_tokens"] for chunk in chunks if not chunk["choices"]] == [5]


def test_calls_are_numbered_and_their_arguments_whole(decoder, drain):
    state = ChatCompletionStreamState()
    chunks = drain(decoder(), CALLS)
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    choice = state.get_final_completion().choices[0]
    told = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert told == [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert (choice.message.content, choice.finish_reason) == ("I ask.", "tool_calls")


def test_a_call_that_is_repeated_by_its_id_goes_on(decoder, drain):
    events = [
        called(id="a", name="f", arguments="{"),
        called(id="a", name="f", arguments="}"),
        said(finishReason="STOP"),
    ]
    chunks = drain(decoder(), events)
    pieces = [call for delta in deltas(chunks) for call in delta.get("tool_calls", ())]
    assert [(call["index"], call["function"]["arguments"]) for call in pieces] == [(0, ""), (0, "{"), (0, "}")]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_coheres_last_event_repeats_nothing(decoder, drain):
    one = decoder()
    assert "".join(delta.get("content", "") for delta in deltas(drain(one, COHERE))) == "Hello"
    assert (one.finished, one.usage) == (True, Usage(3, 2))


def test_a_text_that_comes_at_once_is_not_lost(decoder, drain):
    assert [delta.get("content") for delta in deltas(drain(decoder(), COHERE[2:]))] == ["", "Hello", None]


def test_several_answers_end_one_by_one(decoder, drain):
    one = decoder()
    drain(one, [said("a"), said("b", index=1), said(finishReason="stop")])
    assert not one.finished
    chunks = drain(one, [said(index=1, finishReason="length"), said(index=1, finishReason="length")])
    assert ([chunk["choices"][0]["finish_reason"] for chunk in chunks], one.finished) == (["length"], True)


def test_thoughts_are_shown_to_who_does_not_want_openais_shape_only(decoder, drain):
    event = {"index": 0, "message": {"reasoningContent": "hm"}}
    assert deltas(drain(decoder(strict=False), [event]))[-1] == {"reasoning_content": "hm"}
    assert deltas(drain(decoder(), [event])) == [{"role": "assistant", "content": ""}]


@pytest.mark.parametrize(("event", "sentence"), [
    ({"code": "429", "message": "slow down"}, "oracle error: slow down"), ({"error": {"message": "lost"}}, "oracle error: lost"),
    ({"text": "", "finishReason": "ERROR", "errorMessage": "toxic"}, "oracle error: toxic"), (b"{", "cannot be understood"),
    ({"text": "", "finishReason": "ERROR"}, "the answer failed"), ([], "cannot be understood"),
])  # fmt: skip
def test_an_error_breaks_the_stream(decoder, event, sentence):
    one = decoder()
    with pytest.raises(UpstreamBroken, match=sentence):
        one.feed("", event if isinstance(event, bytes) else orjson.dumps(event))
    assert not one.finished


def test_the_end_marker_and_empty_events_say_nothing(decoder):
    assert [decoder().feed("", data) for data in (b"[DONE]", b"", b" ")] == [[], [], []]


STREAM = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in TEXT)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_is_the_same_however_it_is_cut(cuts):
    splitter, one = SseSplitter(), OciDecoder(CallFacts("m", True, True, {}, {}), provider="oracle")
    places = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in itertools.pairwise(places) for event in splitter.feed(STREAM[start:end])]
    chunks = [orjson.loads(chunk) for event in [*events, *splitter.close()] for chunk in one.feed(*event)]
    assert "".join(delta.get("content", "") for delta in deltas(chunks)) == "Hello é"
    assert (one.finished, one.usage) == (True, Usage(3, 2))


JSON = st.recursive(st.none() | st.integers(-2, 2) | st.text(max_size=3), lambda i: st.lists(i, max_size=3) | st.dictionaries(
    st.sampled_from(["index", "message", "content", "text", "toolCalls", "name", "arguments", "id", "usage", "promptTokens",
                     "finishReason"]), i), max_leaves=12)  # fmt: skip


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["index", "message", "text", "finishReason", "usage", "error"]), JSON),
        max_size=4,
    )
)
def test_whatever_is_streamed_is_relayed_as_json_or_breaks_the_stream(events):
    one, chunks = OciDecoder(CallFacts("m", True, False, {}, {}, True), provider="oracle"), []
    try:
        for event in events:
            chunks += one.feed("", orjson.dumps(event))
    except UpstreamBroken as broken:
        assert broken.status == 502
    assert all(isinstance(orjson.loads(chunk), dict) for chunk in chunks)
