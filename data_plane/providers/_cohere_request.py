"""An OpenAI chat request as a request to Cohere's chat, version 2.

The two are close: tools and their calls have the same shape, and so has a conversation.  What a model says beside its
calls is a plan of them here, and comes back as one.
Source: https://docs.cohere.com/v2/reference/chat
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._anthropic_request import BUDGETS
from data_plane.providers._openai_request import (
    Message,
    Part,
    call_id,
    max_tokens_of,
    put_if,
    read_calls,
    read_choice,
    read_effort,
    read_format,
    read_function,
    read_messages,
    read_parts,
    read_tools,
    refuse_what_matters,
    stop_of,
    text_of,
    url_of,
    wrong,
)
from shared.errors import BadRequest, Unsupported

_TRANSLATED: Final = frozenset(
    {"model", "messages", "stream", "max_tokens", "max_completion_tokens", "top_p", "top_k", "stop", "tools",
     "tool_choice", "parallel_tool_calls", "reasoning_effort", "thinking", "response_format", "logprobs"}
)  # fmt: skip
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "safety_identifier": "about who asks, not about the answer",
    "metadata": "about what OpenAI keeps",
    "store": "about what OpenAI keeps",
    "service_tier": "how soon the answer comes; Cohere's own word is priority",
    "stream_options": "Cohere always counts; the decoder knows whether the caller wants to see it",
    "prompt_cache_key": "a hint to OpenAI's cache",
    "prompt_cache_retention": "a hint to OpenAI's cache",
    "prompt_cache_options": "a hint to OpenAI's cache",
    "prediction": "makes the same answer come faster",
    "verbosity": "a hint of style",
}


def _is_set(value: Any) -> bool:
    return bool(value)


#: OpenAI's parameters that change what the answer is, and which of their values do.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "n": lambda value: value != 1,
    "top_logprobs": _is_set,
    "logit_bias": _is_set,
    "audio": _is_set,
    "modalities": lambda value: value != ["text"],
    "functions": _is_set,
    "function_call": lambda value: value != "none",
    "web_search_options": lambda _value: True,
    "moderation": _is_set,
}
_OURS: Final = _TRANSLATED | LEFT_OUT.keys() | REFUSED.keys()
#: Cohere's own parts, which pass through.
_NATIVE: Final = frozenset({"document", "thinking"})
_CHOICES: Final[Mapping[str, str]] = {"none": "NONE", "required": "REQUIRED", "function": "REQUIRED"}


def _content_part(part: Part, provider: str) -> Json:
    if part.kind in {"text", "refusal"}:
        return {"type": "text", "text": text_of(part)}
    if part.kind == "image_url":
        url, _ = url_of(part)
        held = part.said["image_url"]
        return {"type": "image_url", "image_url": held if isinstance(held, dict) else {"url": url}}
    if part.kind in _NATIVE:
        return part.said
    if not part.kind:
        raise wrong(f"{part.path}.type", "must be a string.")
    raise Unsupported(f"{provider} does not support content of the type {part.kind}.", path=f"{part.path}.type")


def _content(message: Message, provider: str) -> str | list[Json] | None:
    content = message.said.get("content")
    if content is None or isinstance(content, str):
        return content
    return [_content_part(part, provider) for part in read_parts(message.said, message.path)]


def _plain(content: str | list[Json] | None) -> str | None:
    """Return the text of a content that is nothing but text."""
    if not isinstance(content, list):
        return content
    texts = [part["text"] for part in content if part.get("type") == "text"]
    return "".join(texts) if len(texts) == len(content) else None


def _tool_calls(message: Message) -> list[Json]:
    calls: list[Json] = []
    for call in read_calls(message.said, message.path):
        arguments = call.arguments
        if arguments is None or arguments == "":
            arguments = "{}"
        elif isinstance(arguments, dict):
            arguments = orjson.dumps(arguments).decode()
        if not isinstance(arguments, str):
            raise wrong(call.path, "must be a JSON object written as a string.")
        calls.append({"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
    return calls


def _thoughts(message: Message) -> list[Json]:
    """Return what the model thought in an earlier answer that the caller sends back."""
    blocks = message.said.get("content_blocks")
    found = [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    return [
        {"type": "thinking", "thinking": block["thinking"]}
        for block in found
        if block.get("type") == "thinking" and isinstance(block.get("thinking"), str)
    ]


def _assistant(message: Message, provider: str) -> Json:
    said: Json = {"role": "assistant"}
    content, calls = _content(message, provider), _tool_calls(message)
    if calls:
        said["tool_calls"] = calls
        plan = message.said.get("tool_plan")
        text = _plain(content)
        if isinstance(plan, str) and plan:
            said["tool_plan"] = plan
            content = None if text == plan else content
        elif text:
            said["tool_plan"], content = text, None
    thoughts = _thoughts(message)
    if thoughts:
        rest = [{"type": "text", "text": content}] if isinstance(content, str) else content
        content = thoughts + (rest or [])
    put_if(said, "content", content or None)
    put_if(said, "citations", message.said.get("citations"))
    return said


def _message(message: Message, provider: str) -> Json | None:
    """Return a message in Cohere's words; None for an assistant's that says nothing."""
    if message.role == "assistant":
        said = _assistant(message, provider)
        return said if len(said) > 1 else None
    content = _content(message, provider)
    if message.role == "tool":
        name = call_id(message.said, "tool_call_id", message.path)
        return {"role": "tool", "tool_call_id": name, "content": "" if content is None else content}
    if not content:
        if message.role == "system":
            return None
        raise wrong(f"{message.path}.content", f"must not be empty for {provider}.")
    return {"role": message.role, "content": content}


def _put_tools(request: Json, body: Json, provider: str) -> None:
    kind, name = read_choice(body, provider)
    functions = [read_function(tool, path, provider) for path, tool in read_tools(body)]
    if not functions:
        return
    if body.get("parallel_tool_calls") is False and kind != "none":
        raise Unsupported(f"{provider} cannot forbid parallel_tool_calls.", path="parallel_tool_calls")
    if kind == "function":
        # Cohere can demand a call, but not of which: it gets the one to choose from.
        functions = [function for function in functions if function.name == name]
        if not functions:
            raise BadRequest("tool_choice names a function that is not among the tools.", path="tool_choice")
    tools: list[Json] = []
    for function in functions:
        inner: Json = {"name": function.name, "parameters": function.parameters}
        put_if(inner, "description", function.description)
        tools.append({"type": "function", "function": inner})
    request["tools"] = tools
    put_if(request, "tool_choice", _CHOICES.get(kind))
    if any(function.strict for function in functions):
        request.setdefault("strict_tools", True)


def _format(body: Json) -> Json | None:
    kind, held = read_format(body)
    if kind == "text":
        return None
    # Cohere's json_object takes a schema; its own way of writing that passes too.
    own = body["response_format"].get("json_schema") or body["response_format"].get("schema")
    schema = held.get("schema") if kind == "json_schema" else own
    return {"type": "json_object", **({"json_schema": schema} if isinstance(schema, dict) else {})}


def _thinking(body: Json) -> Json | None:
    own = body.get("thinking")
    if own is not None:
        if not isinstance(own, dict):
            raise wrong("thinking", "must be an object.")
        return {"token_budget" if name == "budget_tokens" else name: value for name, value in own.items()}
    effort = read_effort(body, BUDGETS)
    if effort is None:
        return None
    return {"type": "disabled"} if effort == "none" else {"type": "enabled", "token_budget": BUDGETS[effort]}


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return Cohere's request of an OpenAI chat body; raises BadRequest and Unsupported with the path at fault."""
    refuse_what_matters(body, provider, REFUSED)
    request: Json = {name: value for name, value in body.items() if name not in _OURS}
    request["model"] = facts.model
    messages = (_message(message, provider) for message in read_messages(body))
    request["messages"] = [message for message in messages if message is not None]
    if not request["messages"]:
        raise wrong("messages", "must not be empty.")
    _put_tools(request, body, provider)
    put_if(request, "max_tokens", max_tokens_of(body))
    put_if(request, "p", body.get("top_p"))
    put_if(request, "k", body.get("top_k"))
    put_if(request, "stop_sequences", stop_of(body))
    put_if(request, "response_format", _format(body))
    put_if(request, "thinking", _thinking(body))
    put_if(request, "logprobs", body.get("logprobs") or None)
    put_if(request, "stream", True if facts.stream else None)
    return request
