"""Gemini's answers in OpenAI's words: finish reasons, tokens, tool calls, errors, and a whole answer.

Source: https://ai.google.dev/api/generate-content#GenerateContentResponse, https://google.aip.dev/193
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2s
from typing import Any, Final
from uuid import uuid4

import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import count, mapping, read_fault, told_error
from data_plane.providers.base import ProviderFault
from shared.errors import GatewayError, UpstreamInvalid

_FILTERED: Final = "content_filter"
_FINISH: Final[Mapping[str, str]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
         "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
        _FILTERED,
    ),
}  # fmt: skip
#: What a candidate says of itself besides its content, for callers who want it.
EXTRAS: Final[tuple[str, ...]] = (
    "groundingMetadata",
    "citationMetadata",
    "urlContextMetadata",
    "safetyRatings",
    "finishMessage",
)


def finish_reason(told: object, *, called: bool, strict: bool) -> str:
    """Return OpenAI's word for why the answer ended; a reason that is new is shown as it is, unless `strict`.

    `called`: the model called a function, for which Gemini has no reason of its own.
    """
    reason = told if isinstance(told, str) else "STOP"
    known = _FINISH.get(reason, "stop" if strict else reason)
    return "tool_calls" if called and known == "stop" else known


#: Kinds of tokens with a price of their own, by Gemini's names for them.
_KINDS: Final = (("AUDIO", "audio_tokens"), ("IMAGE", "image_tokens"))


def _by_kind(details: object) -> Json:
    """Return how many tokens of a list are sound and pictures; nothing for none."""
    parts = [mapping(part) for part in details] if isinstance(details, list) else []
    counted = {
        name: sum(count(part.get("tokenCount")) for part in parts if part.get("modality") == kind)
        for kind, name in _KINDS
    }
    return {name: number for name, number in counted.items() if number}


def openai_usage(told: Mapping[str, Any]) -> Json:
    """Return OpenAI's usage object of `usageMetadata`.

    There, thoughts stand beside the answer's tokens, and what tools put into the prompt stands beside the prompt.
    """
    prompt = count(told.get("promptTokenCount")) + count(told.get("toolUsePromptTokenCount"))
    thoughts = count(told.get("thoughtsTokenCount"))
    completion = count(told.get("candidatesTokenCount")) + thoughts
    usage: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": count(told.get("cachedContentTokenCount"))},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    usage["prompt_tokens_details"] |= _by_kind(told.get("promptTokensDetails"))
    usage["completion_tokens_details"] |= _by_kind(told.get("candidatesTokensDetails"))
    cached = _by_kind(told.get("cacheTokensDetails"))
    if cached:
        usage["prompt_tokens_details"]["cached_tokens_details"] = cached
    return usage


def made_id(prefix: str, *seeds: object) -> str:
    """Return an id made of `seeds`: the same call of the same answer has the same id, however often it is read."""
    return f"{prefix}{blake2s(repr(seeds).encode(), digest_size=12).hexdigest()}"


def answer_id(told: object) -> str:
    """Return the provider's id of an answer, or one of our own when it has none."""
    return told if isinstance(told, str) and told else f"chatcmpl-{uuid4().hex}"


def tool_call(part: Json, call_id: str, *, strict: bool, error: type[GatewayError]) -> Json:
    """Return the OpenAI tool call of a part with a function call; raises `error` for arguments that are no JSON."""
    told = mapping(part.get("functionCall"))
    given, name = told.get("id"), told.get("name")
    try:
        arguments = orjson.dumps(told.get("args") or {}).decode()
    except TypeError:
        raise error("The provider sent arguments that cannot be written as JSON.") from None
    function = {"name": name if isinstance(name, str) else "", "arguments": arguments}
    signature = part.get("thoughtSignature")
    if not strict and isinstance(signature, str):
        function["thought_signature"] = signature
    return {"id": given if isinstance(given, str) and given else call_id, "type": "function", "function": function}


def block_of(part: Json) -> Json:
    """Return a part that is no function call as a content block: thinking, text, an image, or as Gemini wrote it."""
    text, held = part.get("text"), mapping(part.get("inlineData"))
    if isinstance(text, str):
        block: Json = {"type": "thinking", "thinking": text} if part.get("thought") else {"type": "text", "text": text}
    elif held:
        url = f"data:{held.get('mimeType')};base64,{held.get('data')}"
        block = {"type": "image_url", "image_url": {"url": url}}
    else:
        return part
    if isinstance(part.get("thoughtSignature"), str):
        block["thought_signature"] = part["thoughtSignature"]
    return block


def is_said(part: Json) -> bool:
    """Return whether a part is text of the answer, not of the thoughts before it."""
    return isinstance(part.get("text"), str) and not part.get("thought")


def parts_in(candidate: Mapping[str, Any]) -> list[Json]:
    """Return the parts of a candidate's content, [] for none."""
    parts = mapping(candidate.get("content")).get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _token(told: object) -> Json:
    chosen = mapping(told)
    token, probability = chosen.get("token"), chosen.get("logProbability")
    text = token if isinstance(token, str) else ""
    known = isinstance(probability, (int, float))
    return {
        "token": text, "logprob": probability if known else -9999.0, "bytes": list(text.encode("utf-8", "replace")),
    }  # fmt: skip


def logprobs_of(candidate: Mapping[str, Any]) -> Json | None:
    """Return OpenAI's `logprobs` of a candidate, None when it has none."""
    told = mapping(candidate.get("logprobsResult"))
    chosen, top = told.get("chosenCandidates"), told.get("topCandidates")
    if not isinstance(chosen, list):
        return None
    rivals = top if isinstance(top, list) else []
    content: list[Json] = []
    for number, token in enumerate(chosen):
        held = mapping(rivals[number]).get("candidates") if number < len(rivals) else None
        others = held if isinstance(held, list) else []
        content.append({**_token(token), "top_logprobs": [_token(other) for other in others]})
    return {"content": content, "refusal": None}


def refusal_of(feedback: Mapping[str, Any]) -> str | None:
    """Return the sentence for a prompt that was blocked; None when it was not."""
    reason = feedback.get("blockReason")
    if not isinstance(reason, str) or reason == "BLOCK_REASON_UNSPECIFIED":
        return None
    told = feedback.get("blockReasonMessage")
    return f"The provider blocked the prompt: {reason}" + (f": {told}" if isinstance(told, str) and told else ".")


def _choice(candidate: Json, number: int, seed: str, *, strict: bool) -> Json:
    parts = parts_in(candidate)
    calls = [part for part in parts if isinstance(part.get("functionCall"), dict)]
    texts = [part["text"] for part in parts if is_said(part)]
    message: Json = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    if not strict:
        message["content_blocks"] = [block_of(part) for part in parts if "functionCall" not in part]
    index = candidate.get("index")
    index = index if type(index) is int else number
    if calls:
        message["tool_calls"] = [
            tool_call(part, made_id("call_", seed, index, place), strict=strict, error=UpstreamInvalid)
            for place, part in enumerate(calls)
        ]
    extras = {} if strict else {name: candidate[name] for name in EXTRAS if name in candidate}
    reason = finish_reason(candidate.get("finishReason"), called=bool(calls), strict=strict)
    return {
        "index": index, "message": message, "logprobs": logprobs_of(candidate), "finish_reason": reason, **extras,
    }  # fmt: skip


def _choices(answer: Json, seed: str, facts: CallFacts, provider: str) -> list[Json]:
    candidates = answer.get("candidates")
    refusal = refusal_of(mapping(answer.get("promptFeedback")))
    if not candidates and refusal is not None:
        message = {"role": "assistant", "content": None, "refusal": refusal}
        return [{"index": 0, "message": message, "logprobs": None, "finish_reason": _FILTERED}]
    whole = isinstance(candidates, list) and all(
        isinstance(one, dict) and not one.keys().isdisjoint(("content", "finishReason")) for one in candidates
    )
    if not whole or not candidates:
        if answer.get("error"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    return [_choice(one, number, seed, strict=facts.strict) for number, one in enumerate(candidates)]


def decode_answer(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the chat completion of a `generateContent` answer; raises UpstreamInvalid when it is none."""
    seed = answer_id(answer.get("responseId"))
    model = answer.get("modelVersion")
    completion: Json = {
        "id": seed,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model if isinstance(model, str) else facts.model,
        "choices": _choices(answer, seed, facts, provider),
    }
    if isinstance(answer.get("usageMetadata"), dict):
        completion["usage"] = openai_usage(answer["usageMetadata"])
    if not facts.strict and isinstance(answer.get("promptFeedback"), dict):
        completion["promptFeedback"] = answer["promptFeedback"]
    completion["provider"] = provider
    return completion


def read_google_fault(status: int, body: Json | None) -> ProviderFault:
    """Return the error of Google's body: its `status` is the type, and the first field that it names the parameter."""
    fault = read_fault(status, body)
    error = mapping(mapping(body).get("error"))
    told, details = error.get("status"), error.get("details")
    param = fault.param
    for detail in details if isinstance(details, list) else ():
        violations = mapping(detail).get("fieldViolations")
        for violation in violations if isinstance(violations, list) else ():
            field = mapping(violation).get("field")
            param = param or (field if isinstance(field, str) and field else None)
    return replace(fault, type=fault.type or (told if isinstance(told, str) else None), param=param)
