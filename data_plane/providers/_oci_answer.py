"""Answers of Oracle's Generative AI in OpenAI's words, in both formats: finish reasons, tokens, whole messages.

Source: https://docs.oracle.com/iaas/api/#/en/generative-ai-inference/20231130/datatypes/ChatResult
"""

import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import count, mapping, told_error
from shared.errors import UpstreamInvalid

#: Models write these words in small letters or in capitals.
_FINISH: Final[Mapping[str, str]] = {
    "stop": "stop",
    "complete": "stop",
    "completed": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "error_limit": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "error_toxic": "content_filter",
}
#: Reasons of an answer that is none.
_FAILED: Final = frozenset({"error", "user_cancel"})


def finish_reason(told: object, *, strict: bool) -> str:
    """Return OpenAI's word for why the answer ended; a reason that is new is shown as it is, unless `strict`."""
    if not isinstance(told, str):
        return "stop"
    return _FINISH.get(told.lower(), "stop" if strict else told)


def has_failed(told: object) -> bool:
    """Return whether an answer's reason says that it is none."""
    return isinstance(told, str) and told.lower() in _FAILED


def openai_usage(told: object) -> Json | None:
    """Return OpenAI's usage object, None when nothing is counted."""
    usage = mapping(told)
    if not ("promptTokens" in usage or "completionTokens" in usage):
        return None
    tokens_in, tokens_out = count(usage.get("promptTokens")), count(usage.get("completionTokens"))
    made: Json = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
    cached = count(mapping(usage.get("promptTokensDetails")).get("cachedTokens"))
    thought = count(mapping(usage.get("completionTokensDetails")).get("reasoningTokens"))
    if cached:
        made["prompt_tokens_details"] = {"cached_tokens": min(cached, tokens_in)}
    if thought:
        # Some models count their thoughts beside their answer; the total says so.
        if count(usage.get("totalTokens")) >= tokens_in + tokens_out + thought:
            made["completion_tokens"] += thought
            made["total_tokens"] += thought
        made["completion_tokens_details"] = {"reasoning_tokens": min(thought, made["completion_tokens"])}
    return made


def text_of_content(content: object) -> str:
    """Return the text of a message's content, "" for none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(text for part in parts if isinstance(text := mapping(part).get("text"), str))


def tool_call(told: object) -> Json | None:
    """Return OpenAI's call of a function, None for what is none; one without an id gets one."""
    call = mapping(told)
    name, arguments, known = call.get("name"), call.get("arguments"), call.get("id")
    if not isinstance(name, str) or not name:
        return None
    return {
        "id": known if isinstance(known, str) and known else f"call_{uuid4().hex}",
        "type": "function",
        "function": {"name": name, "arguments": arguments if isinstance(arguments, str) and arguments else "{}"},
    }


def _message(told: Mapping[str, Any], *, strict: bool) -> Json:
    text = text_of_content(told.get("content"))
    listed = told.get("toolCalls")
    calls = [call for each in listed if (call := tool_call(each))] if isinstance(listed, list) else []
    message: Json = {"role": "assistant", "content": text if text or not calls else None}
    if isinstance(told.get("refusal"), str) and told["refusal"]:
        message["refusal"] = told["refusal"]
    thought = told.get("reasoningContent")
    if not strict and isinstance(thought, str) and thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    return message


def _choice(index: int, message: Json, finish: object, *, strict: bool) -> Json:
    reason = finish_reason(finish, strict=strict)
    if reason == "stop" and message.get("tool_calls"):
        reason = "tool_calls"
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def _choices(told: Mapping[str, Any], *, strict: bool) -> list[Json] | None:
    """Return the choices of either format; None when this is no answer."""
    if isinstance(told.get("text"), str):
        return [_choice(0, _message({"content": told["text"]}, strict=strict), told.get("finishReason"), strict=strict)]
    listed = told.get("choices")
    if (
        not isinstance(listed, list)
        or not listed
        or not all(isinstance(mapping(one).get("message"), dict) for one in listed)
    ):
        return None
    return [
        _choice(number, _message(one["message"], strict=strict), one.get("finishReason"), strict=strict)
        for number, one in enumerate(listed)
    ]


def _fault(answer: Json, told: Mapping[str, Any], provider: str) -> UpstreamInvalid:
    sentence = told.get("errorMessage")
    if isinstance(sentence, str) and sentence:
        return UpstreamInvalid(told_error(provider, {"message": sentence}))
    if answer.get("message") or answer.get("error"):
        return UpstreamInvalid(told_error(provider, answer))
    if has_failed(told.get("finishReason")):
        return UpstreamInvalid(f"{provider} error: the answer failed.")
    return UpstreamInvalid(f"Invalid response received from {provider}.")


def decode_answer(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the chat completion of an answer; raises UpstreamInvalid when it is none, or a failed one."""
    told = mapping(answer.get("chatResponse"))
    choices = None if has_failed(told.get("finishReason")) else _choices(told, strict=facts.strict)
    if choices is None:
        raise _fault(answer, told, provider)
    model = answer.get("modelId")
    completion: Json = {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model if isinstance(model, str) and model else facts.model,
        "choices": choices,
    }
    usage = openai_usage(told.get("usage"))
    if usage is not None:
        completion["usage"] = usage
    completion["provider"] = provider
    return completion
