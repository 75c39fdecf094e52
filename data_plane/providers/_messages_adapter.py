"""How does a provider that knows only OpenAI's chat answer a call of Anthropic's Messages API?

The request is turned into a chat, the provider's own translation does its part, and its answer is turned back; so every
provider with a chat has `/v1/messages`.  Sources: https://docs.anthropic.com/en/api/messages, `contract.md` 3.3.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._messages_stream import MessageEvents, usage_json
from data_plane.providers._openai_like import mapping, read_usage
from data_plane.providers.base import Operation
from data_plane.providers.sse import named_frame
from shared.errors import BadRequest, GatewayError

_SAME: Final = ("model", "temperature", "top_p", "stream", "service_tier")
_STOPS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
#: Thinking budgets in tokens, up to which each effort reaches.
_EFFORTS: Final = ((1024, "low"), (8192, "medium"))


def _refuse(path: str, wanted: str) -> BadRequest:
    return BadRequest(f"{path} must be {wanted}.", path=path)


def _objects(value: object, path: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _refuse(path, "an array of objects")
    return value


def _text_of(content: object, path: str) -> str:
    """Return the text of a string or of text blocks."""
    if isinstance(content, str):
        return content
    texts = (block.get("text") for block in _objects(content, path) if block.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _source_url(block: Json, path: str) -> str:
    source = block.get("source")
    if isinstance(source, dict):
        if source.get("type") == "url" and isinstance(source.get("url"), str):
            return str(source["url"])
        if source.get("type") == "base64" and isinstance(source.get("data"), str):
            return f"data:{source.get('media_type') or 'application/octet-stream'};base64,{source['data']}"
        if source.get("type") == "text" and isinstance(source.get("data"), str):
            return str(source["data"])
    raise _refuse(f"{path}.source", "a base64, url or text source")


def _part(block: Json, path: str) -> Json:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": str(block.get("text") or "")}
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _source_url(block, path)}}
    if kind == "document":
        url = _source_url(block, path)
        if not url.startswith("data:"):
            return {"type": "text", "text": url}
        return {"type": "file", "file": {"filename": str(block.get("title") or "document"), "file_data": url}}
    raise BadRequest(f"{path}: a block of type {str(kind)[:40]!r} cannot be given to this provider.", path=path)


def _tool_result(block: Json, path: str) -> tuple[Json, list[Json]]:
    """Return the message of a tool's result, and the parts of it that only a user's message can hold."""
    content = block.get("content") or ""
    if isinstance(content, str):
        text, parts = content, []
    else:
        blocks = _objects(content, f"{path}.content")
        text = _text_of(blocks, f"{path}.content")
        others = [item for item in blocks if item.get("type") != "text"]
        parts = [_part(item, f"{path}.content.{index}") for index, item in enumerate(others)]
    if not isinstance(block.get("tool_use_id"), str):
        raise _refuse(f"{path}.tool_use_id", "a string")
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": text}, parts


def _user(content: object, path: str) -> list[Json]:
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results: list[Json] = []
    parts: list[Json] = []
    for index, block in enumerate(_objects(content, path)):
        here = f"{path}.{index}"
        if block.get("type") == "tool_result":
            result, rest = _tool_result(block, here)
            results.append(result)
            parts += rest
        else:
            parts.append(_part(block, here))
    # Results come first: they answer the turn before, and a chat refuses anything between a call and its result.
    return [*results, *([{"role": "user", "content": parts}] if parts else [])]


def _assistant(content: object, path: str) -> list[Json]:
    if isinstance(content, str):
        return [{"role": "assistant", "content": content}]
    texts: list[str] = []
    calls: list[Json] = []
    for block in _objects(content, path):
        if block.get("type") == "text":
            texts.append(str(block.get("text") or ""))
        elif block.get("type") == "tool_use":
            arguments = orjson.dumps(block.get("input") or {}).decode()
            function = {"name": str(block.get("name") or ""), "arguments": arguments}
            calls.append({"id": str(block.get("id") or ""), "type": "function", "function": function})
    message: Json = {"role": "assistant", "content": "".join(texts) or None}
    return [{**message, "tool_calls": calls} if calls else message]


def _messages(body: Json) -> list[Json]:
    found: list[Json] = []
    if body.get("system"):
        found.append({"role": "system", "content": _text_of(body["system"], "system")})
    for index, message in enumerate(_objects(body.get("messages"), "messages")):
        path = f"messages.{index}.content"
        if message.get("role") == "user":
            found += _user(message.get("content"), path)
        elif message.get("role") == "assistant":
            found += _assistant(message.get("content"), path)
        else:
            raise _refuse(f"messages.{index}.role", "user or assistant")
    return found


def _tools(value: object) -> list[Json]:
    tools = []
    for index, tool in enumerate(_objects(value, "tools")):
        if tool.get("type") not in {None, "custom"}:
            raise BadRequest(
                f"tools.{index}: {str(tool['type'])[:40]!r} is a tool that only Anthropic has.", path=f"tools.{index}"
            )
        function = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {"type": "object"}}
        if tool.get("description"):
            function["description"] = tool["description"]
        tools.append({"type": "function", "function": function})
    return tools


def _tool_choice(value: object) -> Json:
    """Return `tool_choice` and `parallel_tool_calls` as far as they are said."""
    if not isinstance(value, dict):
        raise _refuse("tool_choice", "an object")
    kind = value.get("type")
    said: Json = {}
    if kind == "tool":
        said["tool_choice"] = {"type": "function", "function": {"name": value.get("name")}}
    elif kind in _CHOICES:
        said["tool_choice"] = _CHOICES[kind]
    else:
        raise _refuse("tool_choice.type", "auto, any, tool or none")
    if value.get("disable_parallel_tool_use") is True:
        said["parallel_tool_calls"] = False
    return said


def _thought(body: Json) -> str | None:
    """Return the effort that a thinking budget or an effort of its own amounts to."""
    output = body.get("output_config")
    if isinstance(output, dict) and isinstance(output.get("effort"), str):
        return str(output["effort"])
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return None
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        return "medium"
    return next((effort for upto, effort in _EFFORTS if budget <= upto), "high")


def _format(body: Json) -> Json | None:
    output = body.get("output_config")
    shape = output.get("format") if isinstance(output, dict) else None
    if not isinstance(shape, dict) or shape.get("type") != "json_schema":
        return None
    schema = {"name": str(shape.get("name") or "answer"), "schema": shape.get("schema") or {}, "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def chat_of(body: Json) -> Json:
    """Return the chat that a Messages request amounts to; raises BadRequest with the path to what cannot be said."""
    chat: Json = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat["messages"] = _messages(body)
    if body.get("max_tokens") is not None:
        chat["max_completion_tokens"] = body["max_tokens"]
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    if body.get("tools"):
        chat["tools"] = _tools(body["tools"])
        if body.get("tool_choice"):
            chat |= _tool_choice(body["tool_choice"])
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        chat["user"] = metadata["user_id"]
    for name, value in (("response_format", _format(body)), ("reasoning_effort", _thought(body))):
        if value is not None:
            chat[name] = value
    return chat


def _call_block(call: Mapping[str, Any]) -> Json:
    function = mapping(call.get("function"))
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except (msgspec.DecodeError, TypeError, RecursionError):
        arguments = {}
    return {
        "type": "tool_use",
        "id": str(call.get("id") or ""),
        "name": str(function.get("name") or ""),
        "input": arguments if isinstance(arguments, dict) else {},
    }


def message_of(answer: Json, usage: Usage) -> Json:
    """Return the Messages answer that a chat completion amounts to."""
    choices = answer.get("choices")
    choice = mapping(choices[0] if isinstance(choices, list) and choices else None)
    message = mapping(choice.get("message"))
    content: list[Json] = []
    if isinstance(message.get("content"), str) and message["content"]:
        content.append({"type": "text", "text": message["content"]})
    calls = message.get("tool_calls")
    content += [_call_block(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return {
        "id": f"msg_{answer.get('id') or ''}",
        "type": "message",
        "role": "assistant",
        "model": answer.get("model"),
        "content": content,
        "stop_reason": _STOPS.get(str(choice.get("finish_reason")), "end_turn"),
        "stop_sequence": None,
        "usage": usage_json(usage),
        "provider": answer.get("provider"),
    }


def error_event(error: GatewayError) -> bytes:
    """Return the event that tells a client of the Messages API that its stream failed."""
    told = {"type": "error", "error": {"type": error.code, "message": error.message}}
    return named_frame(orjson.dumps(told))


def messages_by_chat(chat: Operation) -> Operation:
    """Return the Messages operation that a provider has by its chat."""

    def encode(body: Json, facts: CallFacts) -> Json:
        return chat.encode(chat_of(body), facts)

    def decode(answer: Json, facts: CallFacts) -> Json:
        decoded = chat.decode(answer, facts)
        return message_of(decoded, chat.usage(decoded))

    return replace(
        chat,
        encode=encode,
        decode=decode,
        usage=_usage_of,
        decoder=lambda facts: MessageEvents(chat.decoder(replace(facts, include_usage=True)), _STOPS),
        passes_through=False,
        framing=replace(chat.framing, frame=named_frame, error_frame=error_event, end=b""),
    )


def _usage_of(message: Json) -> Usage:
    """Return the tokens of a Messages answer that this module made."""
    told = message.get("usage")
    if not isinstance(told, dict) or not (told.get("input_tokens") or told.get("output_tokens")):
        return Usage(source="none")
    read, written = int(told.get("cache_read_input_tokens") or 0), int(told.get("cache_creation_input_tokens") or 0)
    of_output = mapping(told.get("output_tokens_details"))
    counted = {
        **told,
        "input_tokens": int(told.get("input_tokens") or 0) + read + written,
        "output_tokens": int(told.get("output_tokens") or 0),
        "input_tokens_details": {
            **mapping(told.get("input_tokens_details")), "cached_tokens": read, "cache_write_tokens": written,
        },
        "output_tokens_details": {**of_output, "reasoning_tokens": of_output.get("thinking_tokens")},
    }  # fmt: skip
    return read_usage(counted, told.get("service_tier"))
