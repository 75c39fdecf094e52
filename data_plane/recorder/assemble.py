"""Puts the chunks of a streamed chat together again, for the record and for its preview."""

from collections.abc import Sequence
from typing import Any

import msgspec

Json = dict[str, Any]


def _merge_call(calls: dict[int, Json], delta: Json) -> None:
    call = calls.setdefault(
        int(delta.get("index") or 0), {"type": "function", "function": {"name": "", "arguments": ""}}
    )
    if delta.get("id"):
        call["id"] = delta["id"]
    function = delta.get("function") or {}
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""


def _merge_choice(choices: dict[int, Json], choice: Json) -> None:
    index = int(choice.get("index") or 0)
    whole = choices.setdefault(index, {"content": [], "calls": {}, "finish": None})
    delta = choice.get("delta") or {}
    if isinstance(delta.get("content"), str):
        whole["content"].append(delta["content"])
    for call in delta.get("tool_calls") or ():
        _merge_call(whole["calls"], call)
    whole["finish"] = choice.get("finish_reason") or whole["finish"]


def _message(whole: Json) -> Json:
    message: Json = {"role": "assistant", "content": "".join(whole["content"]) or None}
    if whole["calls"]:
        message["tool_calls"] = [call for _, call in sorted(whole["calls"].items())]
    return message


def assemble_chat(chunks: Sequence[bytes]) -> Json:
    """Return the chat completion that `chunks` (OpenAI chunks as JSON) add up to; what cannot be read is left out."""
    head: Json = {}
    choices: dict[int, Json] = {}
    usage = None
    for raw in chunks:
        try:
            chunk = msgspec.json.decode(raw)
            for choice in chunk.get("choices") or ():
                _merge_choice(choices, choice)
            usage = chunk.get("usage") or usage
            head = head or {name: chunk.get(name) for name in ("id", "created", "model")}
        except (msgspec.DecodeError, AttributeError, TypeError, ValueError):
            continue
    completion: Json = {**head, "object": "chat.completion"}
    completion["choices"] = [
        {"index": index, "message": _message(whole), "finish_reason": whole["finish"]}
        for index, whole in sorted(choices.items())
    ]
    if usage:
        completion["usage"] = usage
    return completion


def assemble_message(chunks: Sequence[bytes]) -> Json:
    """Return the message that `chunks` (events of Anthropic's Messages API) add up to."""
    message: Json = {"type": "message", "role": "assistant"}
    blocks: dict[int, Json] = {}
    for raw in chunks:
        try:
            event = msgspec.json.decode(raw)
            _merge_event(message, blocks, event)
        except (msgspec.DecodeError, AttributeError, TypeError, ValueError, KeyError):
            continue
    for block in blocks.values():
        if "partial" in block:
            block["input"] = _input(block.pop("partial"))
    return {**message, "content": [block for _, block in sorted(blocks.items())]}


def assemble_response(chunks: Sequence[bytes]) -> Json | None:
    """Return the response that `chunks` (events of OpenAI's Responses API) end with, None when they broke off."""
    for raw in reversed(chunks):
        try:
            event = msgspec.json.decode(raw)
            if isinstance(event.get("response"), dict) and isinstance(event["response"].get("output"), list):
                return dict(event["response"])
        except (msgspec.DecodeError, AttributeError):
            continue
    return None


def _merge_event(message: Json, blocks: dict[int, Json], event: Json) -> None:
    kind = event.get("type")
    if kind == "message_start":
        message.update({name: event["message"].get(name) for name in ("id", "model", "usage")})
    elif kind == "content_block_start":
        blocks[int(event["index"])] = dict(event["content_block"])
    elif kind == "content_block_delta":
        block, delta = blocks.setdefault(int(event["index"]), {"type": "text"}), event["delta"]
        for name in ("text", "thinking"):
            if isinstance(delta.get(name), str):
                block[name] = block.get(name, "") + delta[name]
        if isinstance(delta.get("partial_json"), str):
            block["partial"] = block.get("partial", "") + delta["partial_json"]
    elif kind == "message_delta":
        message["stop_reason"] = event["delta"].get("stop_reason")
        message["usage"] = {**(message.get("usage") or {}), **(event.get("usage") or {})}


def _input(text: str) -> Any:
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return text


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def last_message_text(body: Json) -> str:
    """Return the text of a request's last message."""
    messages = body.get("messages") or body.get("input")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return text_of(messages[-1].get("content"))
    given = body.get("input") or body.get("prompt")
    return given if isinstance(given, str) else ""


def first_answer_text(completion: Json) -> str:
    """Return the text of a completion's first choice, or of a message."""
    if completion.get("type") == "message":
        return text_of(completion.get("content"))
    if isinstance(completion.get("output"), list):
        items = (item for item in completion["output"] if isinstance(item, dict) and item.get("type") == "message")
        return "\n".join(text_of(item.get("content")) for item in items)
    choices = completion.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        return text_of(message.get("content")) if isinstance(message, dict) else ""
    return ""
