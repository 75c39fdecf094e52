"""Does Cohere's event stream become OpenAI chunks that OpenAI's own client understands?"""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._cohere_stream import CohereDecoder
from data_plane.providers.sse import SseSplitter
from shared.errors import UpstreamBroken


def event(kind, index=None, **message):
    made = {"type": kind, "delta": {"message": message}} if message else {"type": kind}
    return made if index is None else {**made, "index": index}


def ended(reason="COMPLETE", **more):
    usage = {
        "billed_units": {"input_tokens": 3, "output_tokens": 2},
        "tokens": {"input_tokens": 70, "output_tokens": 2},
    }
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": usage, **more}}


def started(index, identity, name, arguments=""):
    call = {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
    return event("tool-call-start", index, tool_calls=call)


def argued(index, arguments):
    return event("tool-call-delta", index, tool_calls={"function": {"arguments": arguments}})


START = {
    "type": "message-start",
    "id": "c-1",
    "delta": {"message": {"role": "assistant", "content": [], "tool_plan": ""}},
}
TEXT = [
    START, event("content-start", 0, content={"type": "text", "text": ""}), event("content-delta", 0, content={"text": "He"}),
    event("content-delta", 0, content={"text": "llo"}), event("content-end", 0), ended(),
]  # fmt: skip
CALLS = [
    START, event("tool-plan-delta", tool_plan="I will "), event("tool-plan-delta", tool_plan="ask."), started(0, "f_1", "f"),
    argued(0, '{"x"'), argued(0, ":1}"), event("tool-call-end", 0), started(1, "g_1", "g"), event("tool-call-end", 1), ended("TOOL_CALL"),
]  # fmt: skip


@pytest.fixture
def decoder(facts):
    def make(**options):
        return CohereDecoder(facts("m-1", stream=True, **options), provider="cohere")

    return make


def deltas(chunks):
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_a_text_streams_with_role_first_and_reason_last(decoder, drain):
    one = decoder()
    chunks = drain(one, TEXT)
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "He"}, {"content": "llo"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk["id"], chunk["model"], chunk["choices"][0]["index"]) for chunk in chunks} == {("c-1", "m-1", 0)}
    assert (one.finished, one.model, one.usage) == (True, "m-1", Usage(3, 2))


def test_tokens_are_a_chunk_of_their_own_for_who_asked(decoder, drain):
    last = drain(decoder(include_usage=True), TEXT)[-1]
    assert (last["choices"], last["usage"]["prompt_tokens"], last["usage"]["total_tokens"]) == ([], 3, 5)


def test_openais_own_client_puts_calls_together(decoder, drain):
    state = ChatCompletionStreamState()
    for chunk in drain(decoder(), CALLS):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    choice = state.get_final_completion().choices[0]
    assert (choice.message.content, choice.finish_reason) == ("I will ask.", "tool_calls")
    assert [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls] == [
        ("f_1", "f", '{"x":1}'), ("g_1", "g", "{}"),
    ]  # fmt: skip


@pytest.mark.parametrize("calls", [
    [started(3, "a", "f")], [started(3, "a", "f", "{}")], [started(3, "a", "f", "{}"), argued(3, "{}")],
])  # fmt: skip
def test_a_call_without_arguments_has_an_empty_object_once(decoder, drain, calls):
    made = [
        call
        for delta in deltas(drain(decoder(), [START, *calls, ended("TOOL_CALL")]))
        for call in delta.get("tool_calls", ())
    ]
    assert "".join(call["function"]["arguments"] for call in made) == "{}"
    assert {call["index"] for call in made} == {0}


def test_thinking_and_citations_are_for_who_wants_more_than_openai(decoder, drain):
    citation = {"start": 0, "end": 1, "text": "a", "sources": []}
    events = [
        START, event("content-start", 0, content={"type": "thinking", "thinking": ""}), event("content-delta", 0, content={"thinking": "hm"}),
        event("content-delta", 1, content={"text": "a"}), event("citation-start", 0, citations=citation), event("citation-end", 0), ended(),
    ]  # fmt: skip
    assert deltas(drain(decoder(), events)) == [{"role": "assistant", "content": ""}, {"content": "a"}, {}]
    assert deltas(drain(decoder(strict=False), events)) == [
        {"role": "assistant", "content": ""}, {"content_blocks": [{"index": 0, "delta": {"thinking": "hm"}}]}, {"content": "a"},
        {"citations": [citation]}, {},
    ]  # fmt: skip


def test_log_probabilities_stand_beside_their_text(decoder, drain):
    told = {
        **event("content-delta", 0, content={"text": "a"}),
        "logprobs": {"text": "a", "token_ids": [1], "logprobs": [-0.5]},
    }
    rows = drain(decoder(), [START, told, ended()])[1]["choices"][0]["logprobs"]["content"]
    assert [(row["token"], row["logprob"]) for row in rows] == [("a", -0.5)]


def test_events_that_nobody_knows_yet_are_passed_over(decoder, drain):
    events = [*TEXT[:3], {"type": "debug"}, b"", b"[DONE]", event("surprise", 0, x=1), *TEXT[3:], ended()]
    assert deltas(drain(decoder(), events)) == deltas(drain(decoder(), TEXT))


def test_a_stream_without_a_beginning_begins_all_the_same(decoder, drain):
    assert deltas(drain(decoder(), TEXT[1:])) == deltas(drain(decoder(), TEXT))


def test_a_stream_is_not_finished_before_cohere_says_so(decoder, drain):
    one = decoder()
    drain(one, TEXT[:-1])
    assert (one.finished, one.usage) == (False, None)


@pytest.mark.parametrize(("data", "told"), [
    (orjson.dumps(ended("ERROR", error="it broke")), "cohere error: it broke"), (orjson.dumps(ended("ERROR")), "the answer failed"),
    (orjson.dumps(ended(error={"x": 1})), "the answer failed"), (b'{"message":"too many requests"}', "cohere error: too many requests"),
    (b"nonsense", "cannot be understood"), (b"[]", "cannot be understood"), (b'{"type":"message-end","delta":1}', "cannot be understood"),
])  # fmt: skip
def test_errors_and_nonsense_break_the_stream(decoder, data, told):
    with pytest.raises(UpstreamBroken, match=told):
        decoder().feed("", data)


WIRE = b"".join(b"event: " + each["type"].encode() + b"\ndata: " + orjson.dumps(each) + b"\n\n" for each in CALLS)


@given(points=st.lists(st.integers(0, len(WIRE)), max_size=8))
def test_wherever_the_network_cuts_the_chunks_are_the_same(points):
    def run(pieces):
        splitter, one = SseSplitter(), CohereDecoder(CallFacts("m", True, True, {}, {}), provider="cohere")
        events = [each for piece in pieces for each in splitter.feed(piece)] + splitter.close()
        chunks = [orjson.loads(chunk) for each in events for chunk in one.feed(*each)]
        return [chunk["choices"] for chunk in chunks], one.usage, one.finished

    edges = [0, *sorted(points), len(WIRE)]
    assert run(WIRE[start:end] for start, end in itertools.pairwise(edges)) == run([WIRE])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["", "a", "ERROR", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["message", "content", "text", "thinking", "tool_calls", "function", "arguments", "usage", "billed_units",
                         "input_tokens", "finish_reason", "error", "citations", "tool_plan", "logprobs"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
EVENTS = st.one_of(JSON, st.fixed_dictionaries(
    {"type": st.sampled_from([each["type"] for each in (*TEXT, *CALLS)] + ["citation-start"])},
    optional={"index": st.integers(0, 2), "delta": st.one_of(JSON, st.fixed_dictionaries({"message": JSON})), "logprobs": JSON},
))  # fmt: skip


@given(events=st.lists(EVENTS, max_size=8), strict=st.booleans(), asked=st.booleans())
def test_whatever_cohere_streams_is_relayed_as_chunks_or_breaks_the_stream(events, strict, asked):
    one = CohereDecoder(CallFacts("m", True, strict, {}, {}, asked), provider="cohere")
    chunks = []
    try:
        for each in events:
            chunks += one.feed("", orjson.dumps(each))
    except UpstreamBroken as broken:
        assert broken.status == 502
    assert all(isinstance(orjson.loads(chunk)["choices"], list) for chunk in chunks)
