"""Does Converse's event stream become OpenAI chunks that OpenAI's own client understands?"""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._aws import EventStreamSplitter
from data_plane.providers._converse_stream import ConverseDecoder
from shared.errors import UpstreamBroken
from tests.fakes import aws

START = ("messageStart", {"role": "assistant", "p": "abc"})
USAGE = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 1}
TOLD = ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 9}, "p": "a"})


def piece(index, **delta):
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": delta, "p": "abcd"})


def tool(index, name, identity, **more):
    return (
        "contentBlockStart",
        {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": identity, "name": name, **more}}},
    )


def closed(index):
    return ("contentBlockStop", {"contentBlockIndex": index})


def stop(reason="end_turn"):
    return ("messageStop", {"stopReason": reason})


TEXT = [START, piece(0, text="He"), piece(0, text="llo"), closed(0), stop(), TOLD]
CALLS = [
    START, piece(0, text="see"), closed(0), tool(1, "f", "t1"), piece(1, toolUse={"input": '{"x"'}),
    piece(1, toolUse={"input": ":1}"}), closed(1), tool(2, "g", "t2"), closed(2), stop("tool_use"), TOLD,
]  # fmt: skip


@pytest.fixture
def decoder(facts):
    def make(**options):
        return ConverseDecoder(facts("m-1", stream=True, **options), provider="bedrock")

    return make


def deltas(chunks):
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_a_text_streams_with_role_first_and_reason_last(decoder, drain):
    one = decoder()
    chunks = drain(one, TEXT)
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "He"}, {"content": "llo"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert (one.finished, one.model, one.usage) == (True, "m-1", Usage(8, 2, cache_read=4, cache_write=1))


def test_tokens_are_a_chunk_of_their_own_for_who_asked(decoder, drain):
    last = drain(decoder(include_usage=True), TEXT)[-1]
    assert (last["choices"], last["usage"]["prompt_tokens"], last["usage"]["total_tokens"]) == ([], 8, 10)


def test_openais_own_client_puts_calls_together(decoder, drain):
    state = ChatCompletionStreamState()
    for chunk in drain(decoder(), CALLS):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    message = state.get_final_completion().choices[0].message
    assert message.content == "see"
    assert [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls] == [
        ("t1", "f", '{"x":1}'), ("t2", "g", "{}"),
    ]  # fmt: skip
    assert state.get_final_completion().choices[0].finish_reason == "tool_calls"


def test_a_call_whose_block_is_not_closed_has_its_arguments_all_the_same(decoder, drain):
    chunks = drain(decoder(), [START, tool(0, "f", "t"), stop("tool_use")])
    assert deltas(chunks)[2] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


def test_tools_that_bedrock_runs_are_no_calls(decoder, drain):
    events = [START, tool(0, "nova_grounding", "t", type="server_tool_use"), piece(0, toolUse={"input": "{}"}), stop()]
    assert deltas(drain(decoder(), events)) == [{"role": "assistant", "content": ""}, {}]


THINKING = [
    START, piece(0, reasoningContent={"text": "h"}), piece(0, reasoningContent={"text": "m"}),
    piece(0, reasoningContent={"signature": "s"}), piece(1, reasoningContent={"redactedContent": "AAAA"}),
    piece(2, text="a"), piece(2, citation={"title": "t"}), stop(),
]  # fmt: skip


def test_thinking_and_citations_are_for_who_wants_more_than_openai(decoder, drain):
    assert deltas(drain(decoder(), THINKING)) == [{"role": "assistant", "content": ""}, {"content": "a"}, {}]
    blocks = [
        delta["content_blocks"][0]
        for delta in deltas(drain(decoder(strict=False), THINKING))
        if "content_blocks" in delta
    ]
    assert blocks == [
        {"index": 0, "delta": {"type": "thinking", "thinking": "h"}}, {"index": 0, "delta": {"thinking": "m"}},
        {"index": 0, "delta": {"signature": "s"}}, {"index": 1, "delta": {"type": "redacted_thinking", "data": "AAAA"}},
        {"index": 2, "delta": {"citation": {"title": "t"}}},
    ]  # fmt: skip


def test_events_that_nobody_knows_yet_are_passed_over(decoder, drain):
    events = [*TEXT[:2], ("surprise", {"x": 1}), ("", {}), *TEXT[2:]]
    assert deltas(drain(decoder(), events)) == deltas(drain(decoder(), TEXT))


def test_a_stream_without_a_beginning_begins_all_the_same(decoder, drain):
    assert deltas(drain(decoder(), TEXT[1:])) == deltas(drain(decoder(), TEXT))


def test_a_stream_is_not_finished_before_bedrock_says_so(decoder, drain):
    one = decoder()
    drain(one, TEXT[:4])
    assert (one.finished, one.usage) == (False, None)


@pytest.mark.parametrize(("name", "data", "told"), [
    ("exception:throttlingException", b'{"message":"slow down"}', "bedrock error: slow down"),
    ("error:InternalError", b'{"message":"it broke"}', "bedrock error: it broke"),
    ("exception:x", b"nonsense", "without an explanation"), ("exception:x", b"[]", "without an explanation"),
    ("contentBlockDelta", b"nonsense", "cannot be understood"), ("contentBlockDelta", b'{"delta":1}', "cannot be understood"),
    ("messageStop", b"[]", "cannot be understood"), ("metadata", b'{"usage":"\xff"}', "cannot be understood"),
])  # fmt: skip
def test_errors_and_nonsense_break_the_stream(decoder, name, data, told):
    with pytest.raises(UpstreamBroken, match=told):
        decoder().feed(name, data)


WIRE = b"".join(aws.event(*event) for event in CALLS)


@given(points=st.lists(st.integers(0, len(WIRE)), max_size=8))
def test_wherever_the_network_cuts_the_chunks_are_the_same(points):
    def run(pieces):
        splitter, one = EventStreamSplitter(), ConverseDecoder(CallFacts("m", True, True, {}, {}), provider="bedrock")
        events = [event for each in pieces for event in splitter.feed(each)] + splitter.close()
        chunks = [orjson.loads(chunk) for event in events for chunk in one.feed(*event)]
        return [chunk["choices"] for chunk in chunks], one.usage, one.finished

    edges = [0, *sorted(points), len(WIRE)]
    assert run(WIRE[start:end] for start, end in itertools.pairwise(edges)) == run([WIRE])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["contentBlockIndex", "start", "delta", "stopReason", "usage", "text", "toolUse", "input", "name",
                         "toolUseId", "reasoningContent", "signature", "inputTokens", "message"]), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip
NAMES = st.sampled_from([
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "other",
    "exception:x", "error:y",
])  # fmt: skip
EVENTS = st.one_of(
    st.tuples(NAMES, JSON),
    st.tuples(NAMES, st.fixed_dictionaries(
        {"contentBlockIndex": st.integers(0, 2)},
        optional={"start": st.fixed_dictionaries({"toolUse": JSON}), "delta": st.dictionaries(
            st.sampled_from(["text", "toolUse", "reasoningContent", "citation"]), JSON)},
    )),
)  # fmt: skip


@given(events=st.lists(EVENTS, max_size=8), strict=st.booleans(), asked=st.booleans())
def test_whatever_bedrock_streams_is_relayed_as_chunks_or_breaks_the_stream(events, strict, asked):
    one = ConverseDecoder(CallFacts("m", True, strict, {}, {}, asked), provider="bedrock")
    chunks = []
    try:
        for name, data in events:
            chunks += one.feed(name, orjson.dumps(data))
    except UpstreamBroken as broken:
        assert broken.status == 502
    assert all(isinstance(orjson.loads(chunk)["choices"], list) for chunk in chunks)
