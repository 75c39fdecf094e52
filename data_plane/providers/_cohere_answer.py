"""Cohere's answers in OpenAI's words: finish reasons, tokens, and a whole message.

Source: https://docs.cohere.com/v2/reference/chat
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._cohere_embed import whole
from data_plane.providers._openai_like import mapping, told_error
from shared.errors import UpstreamInvalid

_FINISH: Final[Mapping[str, str]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TIMEOUT": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
#: The reason of an answer that is none.
FAILED: Final = "ERROR"


def finish_reason(told: object, *, strict: bool) -> str:
    """Return OpenAI's word for why the answer ended; a reason that is new is shown as it is, unless `strict`."""
    if not isinstance(told, str):
        return "stop"
    return _FINISH.get(told, "stop" if strict else told)


def openai_usage(told: object) -> Json | None:
    """Return OpenAI's usage object of Cohere's, None when it counts nothing.

    What is billed is told where it is known: Cohere also counts tokens of its own around a prompt.
    """
    usage = mapping(told)
    counted = mapping(usage.get("billed_units"))
    if not ("input_tokens" in counted or "output_tokens" in counted):
        counted = mapping(usage.get("tokens"))
    if not ("input_tokens" in counted or "output_tokens" in counted):
        return None
    tokens_in, tokens_out = whole(counted.get("input_tokens")), whole(counted.get("output_tokens"))
    made: Json = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
    cached = min(whole(usage.get("cached_tokens")), tokens_in)
    if cached:
        made["prompt_tokens_details"] = {"cached_tokens": cached}
    return made


def logprob_rows(told: object) -> list[Json]:
    """Return OpenAI's rows of Cohere's log probabilities: one for each piece of text, of one token or more."""
    rows: list[Json] = []
    for item in told if isinstance(told, list) else [told]:
        text, logs = mapping(item).get("text"), mapping(item).get("logprobs")
        if not isinstance(text, str) or not isinstance(logs, list) or not logs:
            continue
        numbers = [log for log in logs if isinstance(log, int | float)]
        rows.append({
            "token": text, "logprob": float(sum(numbers)), "bytes": list(text.encode(errors="replace")),
            "top_logprobs": [],
        })  # fmt: skip
    return rows


def tool_call(told: object) -> Json | None:
    """Return OpenAI's call of a function; None for what is none."""
    call, function = mapping(told), mapping(mapping(told).get("function"))
    if not function:
        return None
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments or {}).decode()
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {"name": function.get("name"), "arguments": arguments},
    }


def _texts(content: list[Any], kind: str) -> list[str]:
    return [
        text for block in content if mapping(block).get("type") == kind and isinstance(text := block.get(kind), str)
    ]


def _message(told: Json, content: list[Any], *, strict: bool) -> Json:
    texts = _texts(content, "text")
    calls = told.get("tool_calls")
    made = [call for each in calls if (call := tool_call(each))] if isinstance(calls, list) else []
    plan = told.get("tool_plan")
    if made and not texts and isinstance(plan, str) and plan:
        texts = [plan]
    message: Json = {"role": "assistant", "content": "".join(texts) if texts or not made else None}
    if not strict:
        message["content_blocks"] = content
        message |= {name: told[name] for name in ("tool_plan", "citations") if told.get(name)}
    if made:
        message["tool_calls"] = made
    return message


def _content(told: Json) -> list[Any] | None:
    """Return the content's blocks; None when this is no message."""
    content = told.get("content")
    if isinstance(content, list):
        return content
    return [] if content is None and isinstance(told.get("tool_calls"), list) else None


def decode_answer(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the chat completion of Cohere's answer; raises UpstreamInvalid when it is none, or a failed one."""
    told = answer.get("message")
    content = _content(told) if isinstance(told, dict) else None
    if content is None or not isinstance(told, dict):
        if isinstance(told, str) and told:
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    if answer.get("finish_reason") == FAILED:
        raise UpstreamInvalid(f"{provider} error: the answer failed.")
    rows = logprob_rows(answer["logprobs"]) if answer.get("logprobs") else None
    choice = {
        "index": 0,
        "message": _message(told, content, strict=facts.strict),
        "logprobs": {"content": rows, "refusal": None} if rows else None,
        "finish_reason": finish_reason(answer.get("finish_reason"), strict=facts.strict),
    }
    completion: Json = {
        "id": answer.get("id"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": facts.model,
        "choices": [choice],
    }
    usage = openai_usage(answer.get("usage"))
    if usage is not None:
        completion["usage"] = usage
    completion["provider"] = provider
    return completion
