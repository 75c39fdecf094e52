"""Converse's answers in OpenAI's words: finish reasons, tokens, and a whole message.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import secrets
import time
from collections.abc import Mapping
from typing import Final

import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import count, mapping, read_fault, told_error
from data_plane.providers.base import ProviderFault
from shared.errors import UpstreamInvalid

_FINISH: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
#: What Bedrock says beside the message, for callers who want it.
_BESIDE: Final = ("trace", "additionalModelResponseFields", "performanceConfig")


def new_id() -> str:
    """Return an id for an answer: Bedrock gives none in the body."""
    return f"chatcmpl-{secrets.token_hex(14)}"


def finish_reason(stop: object, *, strict: bool) -> str:
    """Return OpenAI's word for why the answer ended; a reason that is new is shown as it is, unless `strict`."""
    if not isinstance(stop, str):
        return "stop"
    return _FINISH.get(stop, "stop" if strict else stop)


def openai_usage(told: Mapping[str, object]) -> Json:
    """Return OpenAI's usage object of Bedrock's: there the cached tokens are beside the input, here part of it."""
    read, write = count(told.get("cacheReadInputTokens")), count(told.get("cacheWriteInputTokens"))
    prompt = count(told.get("inputTokens")) + read + write
    completion = count(told.get("outputTokens"))
    usage: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read},
    }
    if read:
        usage["cache_read_input_tokens"] = read
    if write:
        usage["cache_creation_input_tokens"] = write
    return usage


def read_bedrock_fault(status: int, body: Json | None) -> ProviderFault:
    """Return the error of one of Bedrock's bodies: a message in one of two spellings, and at times a type."""
    told = mapping(body)
    if isinstance(told.get("Message"), str) and "message" not in told:
        told = {**told, "message": told["Message"]}
    kind = told.get("__type")
    if isinstance(kind, str) and "type" not in told:
        told = {**told, "type": kind.rpartition("#")[2]}
    return read_fault(status, dict(told))


def is_for_caller(use: Json) -> bool:
    """Return whether a tool's use is the caller's to answer: Bedrock runs some tools itself."""
    return use.get("type") != "server_tool_use"


def _tool_call(use: Json) -> Json:
    arguments = orjson.dumps(use.get("input") or {}).decode()
    return {
        "id": use.get("toolUseId"),
        "type": "function",
        "function": {"name": use.get("name"), "arguments": arguments},
    }


def _text(block: Json) -> str:
    """Return a block's text, which stands inside the citations of a text that has some."""
    text = block.get("text")
    if isinstance(text, str):
        return text
    cited = mapping(block.get("citationsContent")).get("content")
    texts = [mapping(part).get("text") for part in cited] if isinstance(cited, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def thinking_block(reasoning: Mapping[str, object]) -> Json:
    """Return what the model thought, as callers know it from Anthropic and send it back."""
    if "redactedContent" in reasoning:
        return {"type": "redacted_thinking", "data": reasoning["redactedContent"]}
    told = mapping(reasoning.get("reasoningText"))
    block: Json = {"type": "thinking", "thinking": told.get("text") or ""}
    if told.get("signature"):
        block["signature"] = told["signature"]
    return block


def _native(block: Json) -> Json:
    if isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if isinstance(block.get("reasoningContent"), dict):
        return thinking_block(block["reasoningContent"])
    return block


def _message(content: list[Json], *, strict: bool) -> Json:
    text = "".join(map(_text, content))
    uses = [use for block in content if isinstance(use := block.get("toolUse"), dict) and is_for_caller(use)]
    message: Json = {"role": "assistant", "content": text if text or not uses else None}
    if not strict:
        message["content_blocks"] = [_native(block) for block in content if block.get("toolUse") not in uses]
    if uses:
        message["tool_calls"] = [_tool_call(use) for use in uses]
    return message


def decode_answer(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the chat completion of a Converse answer; raises UpstreamInvalid when it is none."""
    content = mapping(mapping(answer.get("output")).get("message")).get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        if answer.get("message") or answer.get("Message"):
            raise UpstreamInvalid(told_error(provider, {"message": read_bedrock_fault(200, answer).message}))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    choice = {
        "index": 0,
        "message": _message(content, strict=facts.strict),
        "logprobs": None,
        "finish_reason": finish_reason(answer.get("stopReason"), strict=facts.strict),
    }
    completion: Json = {
        "id": new_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": facts.model,
        "choices": [choice],
    }
    if isinstance(answer.get("usage"), dict):
        completion["usage"] = openai_usage(answer["usage"])
    if not facts.strict:
        completion |= {name: answer[name] for name in _BESIDE if name in answer}
    completion["provider"] = provider
    return completion
