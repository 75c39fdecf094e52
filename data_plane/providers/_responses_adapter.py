"""How does a provider that knows only OpenAI's chat answer a call of OpenAI's Responses API?

The request is turned into a chat and the answer back, as for Anthropic's messages.  What needs a memory at the provider
(`previous_response_id`, `conversation`) is refused; `store` has no meaning then and is passed over.
Sources: https://platform.openai.com/docs/api-reference/responses, `contract.md` 3.3.
"""

import time
from dataclasses import replace
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._openai_like import mapping, usage_of
from data_plane.providers._responses_json import call_item, response_json, text_item
from data_plane.providers._responses_stream import ResponseEvents
from data_plane.providers.base import Operation
from data_plane.providers.sse import named_frame
from shared.errors import BadRequest, GatewayError

_SAME: Final = (
    "model", "temperature", "top_p", "stream", "parallel_tool_calls", "user", "metadata", "service_tier",
    "top_logprobs", "safety_identifier", "prompt_cache_key",
)  # fmt: skip
_NEEDS_MEMORY: Final = ("previous_response_id", "conversation", "prompt", "background")
_ROLES: Final = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def _part(part: object, path: str) -> Json:
    told = mapping(part)
    kind = told.get("type")
    if kind in {"input_text", "output_text", "text", "refusal"}:
        return {"type": "text", "text": str(told.get("text") or told.get("refusal") or "")}
    if kind == "input_image" and isinstance(told.get("image_url"), str):
        image = {"url": told["image_url"], **({"detail": told["detail"]} if told.get("detail") else {})}
        return {"type": "image_url", "image_url": image}
    if kind == "input_file" and isinstance(told.get("file_data"), str):
        return {"type": "file", "file": {"filename": told.get("filename") or "file", "file_data": told["file_data"]}}
    raise BadRequest(f"{path}: a part of type {str(kind)[:40]!r} cannot be given to this provider.", path=path)


def _content(content: object, path: str) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequest(f"{path} must be a string or an array.", path=path)
    parts = [_part(part, f"{path}.{index}") for index, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _output_text(output: object) -> str:
    return output if isinstance(output, str) else orjson.dumps(output).decode()


def _item(item: object, path: str, messages: list[Json]) -> None:
    """Add what one item of the input says to `messages`."""
    told = mapping(item)
    kind = told.get("type") or ("message" if "role" in told else None)
    if kind == "message":
        role = _ROLES.get(str(told.get("role")))
        if role is None:
            raise BadRequest(f"{path}.role must be user, assistant, system or developer.", path=f"{path}.role")
        messages.append({"role": role, "content": _content(told.get("content"), f"{path}.content")})
    elif kind == "function_call":
        function = {"name": str(told.get("name") or ""), "arguments": str(told.get("arguments") or "{}")}
        call = {"id": str(told.get("call_id") or told.get("id") or ""), "type": "function", "function": function}
        last = messages[-1] if messages else {}
        if last.get("role") == "assistant":
            last.setdefault("tool_calls", []).append(call)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "function_call_output":
        output = _output_text(told.get("output") or "")
        messages.append({"role": "tool", "tool_call_id": str(told.get("call_id") or ""), "content": output})
    elif kind != "reasoning":
        raise BadRequest(f"{path}: an item of type {str(kind)[:40]!r} cannot be given to this provider.", path=path)


def _messages(body: Json) -> list[Json]:
    messages: list[Json] = []
    given = body.get("input")
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
    elif isinstance(given, list):
        for index, item in enumerate(given):
            _item(item, f"input.{index}", messages)
    else:
        raise BadRequest("input must be a string or an array.", path="input")
    if isinstance(body.get("instructions"), str) and body["instructions"]:
        messages.insert(0, {"role": "system", "content": body["instructions"]})
    return messages


def _tools(value: object) -> list[Json]:
    if not isinstance(value, list):
        raise BadRequest("tools must be an array.", path="tools")
    tools = []
    for index, tool in enumerate(value):
        told = mapping(tool)
        if told.get("type") != "function":
            path = f"tools.{index}"
            raise BadRequest(f"{path}: only functions can be given to this provider.", path=path)
        function = {
            name: told[name] for name in ("name", "description", "parameters", "strict") if told.get(name) is not None
        }
        tools.append({"type": "function", "function": function})
    return tools


def _tool_choice(value: object) -> Any:
    told = mapping(value)
    return {"type": "function", "function": {"name": told.get("name")}} if told.get("type") == "function" else value


def _format(value: object) -> Json | None:
    shape = mapping(mapping(value).get("format"))
    if shape.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {name: shape[name] for name in shape if name != "type"}}
    return {"type": "json_object"} if shape.get("type") == "json_object" else None


def chat_of(body: Json) -> Json:
    """Return the chat that a Responses request amounts to; raises BadRequest with the path to what cannot be said."""
    for name in _NEEDS_MEMORY:
        if body.get(name):
            raise BadRequest(f"{name} needs a provider with a Responses API of its own.", path=name)
    chat: Json = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat["messages"] = _messages(body)
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    if body.get("tools"):
        chat["tools"] = _tools(body["tools"])
        if body.get("tool_choice") is not None:
            chat["tool_choice"] = _tool_choice(body["tool_choice"])
    shape, effort = _format(body.get("text")), mapping(body.get("reasoning")).get("effort")
    if shape is not None:
        chat["response_format"] = shape
    if isinstance(effort, str):
        chat["reasoning_effort"] = effort
    return chat


def asks_beyond_chat(body: Json) -> bool:
    """Return whether a Responses request asks for what no chat can do: a memory at the provider, or its own tools."""
    tools = body.get("tools")
    kinds = [mapping(tool).get("type") for tool in tools] if isinstance(tools, list) else []
    remembers = body.get("store") is True or any(body.get(name) for name in _NEEDS_MEMORY)
    return remembers or any(kind != "function" for kind in kinds)


def response_of(answer: Json, usage: Usage) -> Json:
    """Return the response that a chat completion amounts to."""
    choices = answer.get("choices")
    choice = mapping(choices[0] if isinstance(choices, list) and choices else None)
    message = mapping(choice.get("message"))
    output: list[Json] = []
    if isinstance(message.get("content"), str) and message["content"]:
        output.append(text_item(str(answer.get("id") or ""), message["content"]))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        told, function = mapping(call), mapping(mapping(call).get("function"))
        output.append(
            call_item(str(told.get("id") or ""), str(function.get("name") or ""), str(function.get("arguments") or ""))
        )
    whole = response_json(
        {**answer, "created": _seconds(answer.get("created"))}, output, choice.get("finish_reason") or "stop", usage
    )
    return {**whole, "provider": answer.get("provider")}


def _seconds(value: object) -> int:
    return value if type(value) is int and value > 0 else int(time.time())


def error_event(error: GatewayError) -> bytes:
    """Return the event that tells a client of the Responses API that its stream failed."""
    return named_frame(
        orjson.dumps({"type": "error", "code": error.code, "message": error.message, "param": error.path})
    )


def responses_by_chat(chat: Operation) -> Operation:
    """Return the Responses operation that a provider has by its chat."""

    def encode(body: Json, facts: CallFacts) -> Json:
        return chat.encode(chat_of(body), facts)

    def decode(answer: Json, facts: CallFacts) -> Json:
        decoded = chat.decode(answer, facts)
        return response_of(decoded, chat.usage(decoded))

    return replace(
        chat,
        encode=encode,
        decode=decode,
        usage=usage_of,
        decoder=lambda facts: ResponseEvents(chat.decoder(replace(facts, include_usage=True))),
        passes_through=False,
        framing=replace(chat.framing, frame=named_frame, error_frame=error_event, end=b""),
    )
