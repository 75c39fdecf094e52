"""What is peculiar to Anthropic: its version header and its error body."""

import re

from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers.anthropic import PROVIDER
from shared.errors import BadRequest
from tests.fakes import messages_api

CHAT = PROVIDER.operations["chat"]
FACTS = CallFacts("claude-sonnet-4-5", stream=False, strict=True, headers={}, settings={})


def test_a_version_is_sent_always_and_callers_may_choose_another_and_betas():
    assert PROVIDER.default_headers == {"anthropic-version": "2023-06-01"}
    assert PROVIDER.caller_headers == ("anthropic-version", "anthropic-beta")


def test_a_recorded_error_is_read():
    recorded = {
        "type": "error", "request_id": "req_1",
        "error": {"type": "not_found_error", "message": "model: claude-x"},
    }  # fmt: skip
    fault = CHAT.fault(404, recorded)
    assert (fault.message, fault.type, fault.param, fault.code) == ("model: claude-x", "not_found_error", None, None)


TEXTS = st.sampled_from(["", " ", "hi", "weather in Oslo \n", "é🦆"])
IDS = st.sampled_from(["a", "b", "call:1", "fn/ü", ""])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(
        lambda url: {"type": "image_url", "image_url": {"url": url}},
        st.sampled_from(
            ["https://x.example/a.png", "data:image/png;base64,AAAA", "data:image/jpg,ab", "gs://x", "",
             "data:application/pdf;base64,AAAA", "data:audio/wav;base64,AAAA", "data:text/plain;base64,aGk="]
        ),
    ),
    st.builds(
        lambda file: {"type": "file", "file": file},
        st.sampled_from([{}, {"file_id": "f"}, {"file_data": "AAAA", "filename": "a.pdf"}, {"file_data": "data:,"}]),
    ),
    st.sampled_from([{"type": "input_audio", "input_audio": {}}, {"type": "text"}, {}, "x"]),
)  # fmt: skip
CONTENT = st.one_of(st.none(), TEXTS, st.lists(PARTS, max_size=3))
CALLS = st.builds(
    lambda call_id, arguments: {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}},
    IDS,
    st.sampled_from(["", "{}", '{"a":1}', "[]", "{"]),
)
BLOCKS = st.sampled_from(
    [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "thinking", "thinking": "hm"},
     {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": " "}, {"type": "text", "text": "so"}]
)  # fmt: skip
MESSAGES = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content},
              st.sampled_from(["system", "developer", "user", "user", "assistant", "function"]), CONTENT),
    st.builds(lambda content, calls: {"role": "assistant", "content": content, "tool_calls": calls},
              CONTENT, st.lists(CALLS, max_size=3)),
    st.builds(lambda content, blocks: {"role": "assistant", "content": content, "content_blocks": blocks},
              TEXTS, st.lists(BLOCKS, max_size=3)),
    st.builds(lambda call_id, content: {"role": "tool", "tool_call_id": call_id, "content": content}, IDS, CONTENT),
)  # fmt: skip


def rounds(ids, text):
    """A well-formed exchange: a question, calls and their results."""
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
    results = [{"role": "tool", "tool_call_id": i, "content": text} for i in ids]
    return [{"role": "user", "content": "q"}, {"role": "assistant", "content": text, "tool_calls": calls}, *results]


ROUNDS = st.builds(rounds, st.lists(IDS, unique=True, max_size=3), TEXTS)
CONVERSATIONS = st.one_of(
    st.lists(MESSAGES, max_size=6),
    st.builds(lambda first, rest: [*first, *rest], ROUNDS, st.lists(MESSAGES, max_size=3)),
)


@given(CONVERSATIONS)
def test_any_conversation_is_accepted_by_the_provider_or_refused_with_a_path(messages):
    refusal, encoded = None, None
    try:
        encoded = CHAT.encode({"model": "x", "messages": messages}, FACTS)
    except BadRequest as error:
        refusal = error
    if refusal is None:
        messages_api.check(encoded)
    else:
        assert re.match(r"messages(\[\d+\]|$)", refusal.path)


@given(ROUNDS.filter(lambda messages: all(message.get("tool_call_id") != "" for message in messages)))
def test_a_well_formed_exchange_is_never_refused(messages):
    messages_api.check(CHAT.encode({"model": "x", "messages": messages}, FACTS))
