"""Does a Messages answer say the same as a chat completion?"""

import orjson
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from data_plane.core.types import Usage
from data_plane.providers._anthropic_answer import decode_message, finish_reason, openai_usage
from data_plane.providers._openai_like import read_usage
from shared.errors import UpstreamInvalid

RECORDED = {
    "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Tromsø"}},
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
    ],
    "stop_reason": "tool_use", "stop_sequence": None,
    "usage": {
        "input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
    },
}  # fmt: skip


@pytest.fixture
def decode(facts):
    def run(answer=RECORDED, *, strict=True):
        return decode_message(dict(answer), facts(strict=strict), provider="anthropic")

    return run


def test_a_recorded_answer_is_a_chat_completion(decode):
    Message.model_validate(RECORDED)
    decoded = decode()
    ChatCompletion.model_validate_json(orjson.dumps(decoded))
    assert decoded.pop("created") > 1_700_000_000
    assert decoded == {
        "id": "msg_01", "object": "chat.completion", "model": "claude-sonnet-4-5-20250929", "provider": "anthropic",
        "choices": [{
            "index": 0, "logprobs": None, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "Let me look.", "tool_calls": [
                {"id": "toolu_1", "type": "function",
                 "function": {"name": "weather", "arguments": '{"city":"Tromsø"}'}},
                {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ]},
        }],
        "usage": {
            "prompt_tokens": 16, "completion_tokens": 7, "total_tokens": 23,
            "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 3},
            "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2,
        },
    }  # fmt: skip


def test_thinking_is_shown_only_to_callers_who_are_not_strict(decode):
    assert "content_blocks" not in decode()["choices"][0]["message"]
    shown = decode(strict=False)["choices"][0]["message"]["content_blocks"]
    assert shown == RECORDED["content"][:3]


def test_an_answer_of_calls_only_has_null_content(decode):
    assert decode({**RECORDED, "content": RECORDED["content"][3:]})["choices"][0]["message"]["content"] is None


def test_an_answer_that_says_nothing_has_empty_content(decode):
    assert decode({**RECORDED, "content": [], "stop_reason": "end_turn"})["choices"][0]["message"] == {
        "role": "assistant",
        "content": "",
    }


def test_every_count_reaches_the_ledger():
    assert read_usage(openai_usage(RECORDED["usage"])) == Usage(16, 7, cache_read=4, cache_write=2, reasoning=3)


def test_cache_counts_of_zero_are_not_shown():
    usage = openai_usage({"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 0})
    assert usage == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_an_answer_without_tokens_claims_none(decode):
    assert "usage" not in decode({**RECORDED, "usage": None})


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"), ("tool_use", "tool_calls"), ("refusal", "content_filter"),
        (None, "stop"), (3, "stop"),
    ],
)  # fmt: skip
def test_every_reason_has_openais_word(stop, finish):
    assert finish_reason(stop, strict=True) == finish_reason(stop, strict=False) == finish


def test_a_new_reason_is_shown_only_to_callers_who_are_not_strict():
    assert (finish_reason("new", strict=True), finish_reason("new", strict=False)) == ("stop", "new")


@pytest.mark.parametrize("answer", [{}, {"content": None}, {"content": "hi"}, {"content": {}}, {"content": [1]}])
def test_an_answer_without_blocks_is_refused(decode, answer):
    with pytest.raises(UpstreamInvalid, match=r"Invalid response received from anthropic\."):
        decode(answer)


def test_an_error_inside_a_200_is_told(decode):
    with pytest.raises(UpstreamInvalid, match="anthropic error: Overloaded"):
        decode({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
