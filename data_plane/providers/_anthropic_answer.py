"""Anthropic's answers in OpenAI's words: finish reasons, tokens, and a whole message.

Source: https://docs.anthropic.com/en/api/messages
"""

import time
from collections.abc import Mapping
from typing import Final

import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._openai_like import count, mapping, read_usage, told_error
from shared.errors import UpstreamInvalid
from shared.pricing import tier_named

_FINISH: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_reason(stop: object, *, strict: bool) -> str:
    """Return OpenAI's word for why the answer ended; a reason that is new is shown as it is, unless `strict`."""
    if not isinstance(stop, str):
        return "stop"
    return _FINISH.get(stop, "stop" if strict else stop)


def openai_usage(told: Mapping[str, object]) -> Json:
    """Return OpenAI's usage object of Anthropic's: there the cached tokens are part of the prompt, here beside it."""
    read, write = count(told.get("cache_read_input_tokens")), count(told.get("cache_creation_input_tokens"))
    prompt = count(told.get("input_tokens")) + read + write
    completion = count(told.get("output_tokens"))
    usage: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read},
    }
    thinking = count(mapping(told.get("output_tokens_details")).get("thinking_tokens"))
    if thinking:
        usage["completion_tokens_details"] = {"reasoning_tokens": thinking}
    if read:
        usage["cache_read_input_tokens"] = read
    if write:
        usage["cache_creation_input_tokens"] = write
    # What is charged at a price of its own, in Anthropic's words: OpenAI has none.
    longer = count(mapping(told.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    if longer:
        usage["cache_creation"] = {"ephemeral_1h_input_tokens": longer}
    searches = count(mapping(told.get("server_tool_use")).get("web_search_requests"))
    if searches:
        usage["server_tool_use"] = {"web_search_requests": searches}
    return usage


def served_tier(told: Mapping[str, object]) -> str:
    """Return the service tier that Anthropic's usage names, "" for none; a faster speed is one."""
    return "fast" if told.get("speed") == "fast" else tier_named(told.get("service_tier"))


def counted_usage(told: Mapping[str, object]) -> Usage:
    """Return the tokens of Anthropic's usage, and the tier that served them."""
    return read_usage(openai_usage(told), served_tier(told))


def _tool_call(block: Json) -> Json:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }


def _message(content: list[Json], *, strict: bool) -> Json:
    texts = [text for block in content if block.get("type") == "text" and isinstance(text := block.get("text"), str)]
    calls = [_tool_call(block) for block in content if block.get("type") == "tool_use"]
    message: Json = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if not strict:
        message["content_blocks"] = [block for block in content if block.get("type") != "tool_use"]
    if calls:
        message["tool_calls"] = calls
    return message


def decode_message(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the chat completion of a Messages answer; raises UpstreamInvalid when it is none."""
    content = answer.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        if answer.get("error"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    choice = {
        "index": 0,
        "message": _message(content, strict=facts.strict),
        "logprobs": None,
        "finish_reason": finish_reason(answer.get("stop_reason"), strict=facts.strict),
    }
    completion: Json = {
        "id": answer.get("id"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.get("model") or facts.model,
        "choices": [choice],
    }
    if isinstance(answer.get("usage"), dict):
        completion["usage"] = openai_usage(answer["usage"])
        tier = served_tier(answer["usage"])
        if tier:
            completion["service_tier"] = tier
    completion["provider"] = provider
    return completion
