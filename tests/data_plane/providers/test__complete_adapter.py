import copy
import itertools
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.pipeline.target import operation_of
from data_plane.providers._complete_adapter import CompletionChunks, chat_of, complete_by_chat
from data_plane.providers._openai_like import chat
from data_plane.providers.base import ClosingDecoder
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, GatewayError, Unsupported, UpstreamBroken, UpstreamInvalid

FACTS = CallFacts("m", False, True, {}, {})
STREAMING = replace(FACTS, stream=True)
OPERATION = complete_by_chat(chat("demo"))
CLAUDE, COMMAND = (operation_of(load_providers()[name], "complete") for name in ("anthropic", "cohere"))
LEGACY = "\n\nHuman: Why is the sky blue?\n\nAssistant:"


def asked(prompt, **fields):
    return chat_of({"model": "m", "prompt": prompt, **fields})


# what is asked


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
def test_a_prompt_is_what_a_user_says(prompt):
    assert asked(prompt)["messages"] == [{"role": "user", "content": "Once upon"}]


@pytest.mark.parametrize(("prompt", "turns"), [
    (LEGACY, [("user", "Why is the sky blue?")]),
    (f"Be brief.{LEGACY} Because", [("system", "Be brief."), ("user", "Why is the sky blue?"), ("assistant", "Because")]),
    ("Human: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: ", [("user", "a"), ("assistant", "b"), ("user", "c")]),
])  # fmt: skip
def test_a_prompt_that_is_written_as_a_conversation_becomes_one(prompt, turns):
    assert [(message["role"], message["content"]) for message in asked(prompt)["messages"]] == turns


@pytest.mark.parametrize(
    "prompt", ["\n\nHuman: hi", "\n\nAssistant: hi", "\n\nAssistant: a\n\nHuman: b", "the Human: x\n\nAssistant:", ""]
)
def test_a_prompt_that_only_looks_like_a_conversation_stays_as_it_is(prompt):
    assert asked(prompt)["messages"] == [{"role": "user", "content": prompt}]


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]], [[1], [2]]])
def test_several_prompts_and_tokens_are_refused(prompt):
    with pytest.raises(Unsupported) as refused:
        asked(prompt)
    assert refused.value.path == "prompt"


@pytest.mark.parametrize("prompt", [None, 7, [], [{}], {"a": 1}])
def test_what_is_no_prompt_is_told_so(prompt):
    with pytest.raises(BadRequest) as refused:
        asked(prompt)
    assert (refused.value.path, type(refused.value)) == ("prompt", BadRequest)


@pytest.mark.parametrize(
    ("name", "value"), [("suffix", "end"), ("echo", True), ("best_of", 3), ("logprobs", 0), ("logprobs", 5)]
)
def test_what_a_chat_cannot_do_is_refused_by_name(name, value):
    with pytest.raises(Unsupported, match=name) as refused:
        asked("x", **{name: value})
    assert refused.value.path == name


@pytest.mark.parametrize("fields", [{"suffix": ""}, {"echo": False}, {"best_of": 1}, {"logprobs": None}])
def test_what_means_nothing_is_left_out(fields):
    assert asked("x", **fields).keys() == {"model", "messages"}


def test_parameters_of_both_pass_and_so_does_what_is_new():
    fields = {"max_tokens": 5, "stop": ["\n"], "temperature": 0, "top_p": 0.5, "stream": True, "user": "u", "top_k": 3}
    assert asked("x", **fields).items() >= fields.items()


def test_claude_and_command_are_asked_in_the_words_of_their_chats():
    body = {"model": "m", "prompt": LEGACY, "max_tokens": 5, "stop": "\n"}
    before = copy.deepcopy(body)
    turns = [{"role": "user", "content": "Why is the sky blue?"}]
    assert CLAUDE.encode(body, FACTS) == {"model": "m", "max_tokens": 5, "stop_sequences": ["\n"], "messages": turns}
    assert COMMAND.encode(body, FACTS).items() >= {"model": "m", "max_tokens": 5, "stop_sequences": ["\n"]}.items()
    assert (CLAUDE.path, COMMAND.path, body) == ("/messages", "/v2/chat", before)


# what is answered

CLAUDES = {
    "id": "c", "type": "message", "role": "assistant", "model": "m", "stop_reason": "max_tokens",
    "content": [{"type": "text", "text": "Because"}], "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip
COMMANDS = {
    "id": "c", "finish_reason": "MAX_TOKENS", "message": {"role": "assistant", "content": [{"type": "text", "text": "Because"}]},
    "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}},
}  # fmt: skip
each = pytest.mark.parametrize(
    ("operation", "provider", "told"), [(CLAUDE, "anthropic", CLAUDES), (COMMAND, "cohere", COMMANDS)]
)


@each
def test_an_answer_is_a_completion_that_the_official_sdk_reads(operation, provider, told):
    answer = operation.decode(copy.deepcopy(told), FACTS)
    completion = Completion.model_validate(answer, strict=True)
    assert (completion.object, completion.model, answer["provider"]) == ("text_completion", "m", provider)
    [choice] = answer["choices"]
    assert choice == {"text": "Because", "index": 0, "logprobs": None, "finish_reason": "length"}
    assert (completion.usage.total_tokens, operation.usage(answer)) == (5, Usage(3, 2))


def test_several_answers_are_several_choices_and_one_without_text_is_empty():
    choices = [
        {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
        {"index": 1, "message": {"content": None}},
    ]
    answer = OPERATION.decode({"id": "c", "created": 1, "model": "m", "choices": choices}, FACTS)
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [(0, "a"), (1, "")]
    assert OPERATION.usage(answer) is NO_USAGE


def test_an_error_inside_a_whole_answer_is_one():
    with pytest.raises(UpstreamInvalid, match="too busy"):
        OPERATION.decode({"error": {"message": "too busy"}}, FACTS)


STREAM = [
    {"type": "message_start", "message": {"id": "c", "model": "m", "usage": {"input_tokens": 3}}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Be"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "cause"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]  # fmt: skip
WIRE = b"".join(b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n" for event in STREAM)


def relayed(pieces, *, include_usage=False):
    splitter = CLAUDE.framing.splitter()
    decoder = CLAUDE.decoder(replace(STREAMING, include_usage=include_usage))
    chunks = [chunk for piece in pieces for event in splitter.feed(piece) for chunk in decoder.feed(*event)]
    chunks += [chunk for event in splitter.close() for chunk in decoder.feed(*event)]
    return [orjson.loads(chunk) for chunk in (*chunks, *decoder.close())], decoder


@given(st.lists(st.integers(0, len(WIRE)), max_size=6))
def test_a_stream_is_pieces_of_one_completion_wherever_it_is_cut(cuts):
    bounds = [0, *sorted(cuts), len(WIRE)]
    pieces, decoder = relayed([WIRE[a:b] for a, b in itertools.pairwise(bounds)])
    assert [piece["choices"][0]["text"] for piece in pieces] == ["Be", "cause", ""]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None, None, "stop"]
    assert {(piece["id"], piece["object"]) for piece in pieces} == {(pieces[0]["id"], "text_completion")}
    assert (decoder.finished, decoder.usage, decoder.model) == (True, Usage(3, 2), "m")


def test_tokens_are_told_last_to_who_asks_for_them():
    pieces, _ = relayed([WIRE], include_usage=True)
    assert (pieces[-1]["choices"], pieces[-1]["usage"]["total_tokens"], len(pieces)) == ([], 5, 4)


def test_a_stream_that_fails_is_broken():
    with pytest.raises(UpstreamBroken, match="Overloaded"):
        relayed(
            [b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n']
        )


def test_what_is_left_to_say_is_said_at_the_end():
    class Late:
        usage, model, finished = None, "m", True

        def feed(self, _event, _data):
            return []

        def close(self):
            return [b'{"choices":[{"index":0,"delta":{"content":"late"}}]}']

    assert isinstance(Late(), ClosingDecoder)
    [last] = CompletionChunks(Late()).close()
    assert orjson.loads(last)["choices"][0]["text"] == "late"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["choices", "delta", "message", "content", "index", "usage", "finish_reason"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["choices", "usage", "error", "id"]), JSON))
def test_whatever_comes_is_a_completion_or_a_failure_of_the_provider(told):
    try:
        assert OPERATION.decode(dict(told), FACTS)["object"] == "text_completion"
    except UpstreamInvalid:
        assert not isinstance(told.get("choices"), list)
    try:
        OPERATION.decoder(STREAMING).feed("", orjson.dumps(told))
    except GatewayError as error:
        assert isinstance(error, UpstreamBroken)


@given(st.dictionaries(st.sampled_from(["prompt", "suffix", "echo", "best_of", "logprobs", "stop"]), JSON))
def test_whatever_a_caller_sends_is_said_or_refused(body):
    try:
        chat_of(body)
    except BadRequest as refusal:
        assert refusal.path


def test_a_number_that_only_some_readers_know_breaks_the_stream_and_nothing_else():
    decoder = OPERATION.decoder(STREAMING)
    with pytest.raises(UpstreamBroken):
        decoder.feed("", b'{"choices":[],"x":1e999}')
