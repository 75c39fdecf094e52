"""An OpenAI chat request in the generic format of Oracle's Generative AI, which most of its models take.

The words are OpenAI's, written in camel case, with kinds and roles in capitals.
Source: https://docs.oracle.com/iaas/api/#/en/generative-ai-inference/20231130/datatypes/GenericChatRequest
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_request import (
    Message,
    Part,
    call_id,
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

#: What OpenAI's parameters are called where only the name differs.
_RENAMED: Final[Mapping[str, str]] = {
    "n": "numGenerations", "max_tokens": "maxTokens", "max_completion_tokens": "maxCompletionTokens", "top_p": "topP",
    "top_k": "topK", "frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty",
    "logit_bias": "logitBias", "parallel_tool_calls": "isParallelToolCalls",
}  # fmt: skip
#: Those whose values are words, in capitals here.
_IN_CAPITALS: Final[Mapping[str, str]] = {"verbosity": "verbosity", "service_tier": "serviceTier"}
_TRANSLATED: Final = (
    frozenset({"model", "messages", "stream", "stop", "tools", "tool_choice", "response_format", "reasoning_effort"})
    | _RENAMED.keys()
    | _IN_CAPITALS.keys()
)
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "safety_identifier": "about who asks, not about the answer",
    "store": "about what OpenAI keeps",
    "stream_options": "tokens are always asked for; the decoder knows whether the caller wants to see them",
    "prompt_cache_key": "a hint to OpenAI's cache",
    "prompt_cache_retention": "a hint to OpenAI's cache",
    "prediction": "makes the same answer come faster",
}
#: OpenAI's parameters that change what the answer is, and which of their values do.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "logprobs": bool,
    "top_logprobs": bool,
    "audio": bool,
    "modalities": lambda value: value != ["text"],
    "functions": bool,
    "function_call": lambda value: value != "none",
    "web_search_options": lambda _value: True,
}
_OURS: Final = _TRANSLATED | LEFT_OUT.keys() | REFUSED.keys()
_EFFORTS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH"}
_ROLES: Final = {"system": "SYSTEM", "user": "USER", "assistant": "ASSISTANT", "tool": "TOOL"}
_CHOICES: Final = {"auto": "AUTO", "none": "NONE", "required": "REQUIRED"}
_DEDICATED: Final = "DEDICATED"
_ENDPOINT: Final = "ocid1.generativeaiendpoint."


def placed(facts: CallFacts, provider: str) -> Json:
    """Return where a model runs and who pays: what every request says.  Raises BadRequest.

    Without a compartment it is the tenancy's root, which has the tenancy's OCID.
    """
    settings = facts.settings
    compartment = settings.get("oracle_compartment_id") or settings.get("oracle_tenancy")
    if not isinstance(compartment, str) or not compartment:
        raise BadRequest(
            f"oracle_compartment_id is required for the provider {provider}.", path="oracle_compartment_id"
        )
    mode = settings.get("oracle_serving_mode")
    if mode == _DEDICATED or (not mode and facts.model.startswith(_ENDPOINT)):
        serving = {"servingType": _DEDICATED, "endpointId": facts.model}
    elif mode in (None, "", "ON_DEMAND"):
        serving = {"servingType": "ON_DEMAND", "modelId": facts.model}
    else:
        raise BadRequest("oracle_serving_mode must be ON_DEMAND or DEDICATED.", path="oracle_serving_mode")
    return {"compartmentId": compartment, "servingMode": serving}


def _sound(part: Part) -> str:
    held = part.said.get("input_audio")
    content, kind = (held.get("data"), held.get("format")) if isinstance(held, dict) else (None, None)
    if not isinstance(content, str) or not isinstance(kind, str):
        raise wrong(f"{part.path}.input_audio", "must hold data and format.")
    return f"data:audio/{kind};base64,{content}"


def _document(part: Part, provider: str) -> str:
    held = part.said.get("file")
    content = held.get("file_data") if isinstance(held, dict) else None
    if not isinstance(content, str):
        raise Unsupported(f"{provider} takes files by their file_data only.", path=f"{part.path}.file")
    return content if ":" in content[:16] else f"data:application/pdf;base64,{content}"


def _image(part: Part) -> Json:
    url, _ = url_of(part)
    held = part.said["image_url"]
    image = {"url": url}
    if isinstance(held, dict) and isinstance(held.get("detail"), str):
        image["detail"] = held["detail"].upper()
    return {"type": "IMAGE", "imageUrl": image}


def _part(part: Part, provider: str) -> Json:
    match part.kind:
        case "text" | "refusal":
            return {"type": "TEXT", "text": text_of(part)}
        case "image_url":
            return _image(part)
        case "video_url":
            return {"type": "VIDEO", "videoUrl": {"url": url_of(part)[0]}}
        case "input_audio":
            return {"type": "AUDIO", "audioUrl": {"url": _sound(part)}}
        case "file":
            return {"type": "DOCUMENT", "documentUrl": {"url": _document(part, provider)}}
        case "":
            raise wrong(f"{part.path}.type", "must be a string.")
    raise Unsupported(f"{provider} does not support content of the type {part.kind}.", path=f"{part.path}.type")


def _calls(message: Message) -> list[Json]:
    calls: list[Json] = []
    for call in read_calls(message.said, message.path):
        arguments = call.arguments
        if arguments is None or arguments == "":
            arguments = "{}"
        elif isinstance(arguments, dict):
            arguments = orjson.dumps(arguments).decode()
        if not isinstance(arguments, str):
            raise wrong(call.path, "must be a JSON object written as a string.")
        calls.append({"type": "FUNCTION", "id": call.call_id, "name": call.name, "arguments": arguments})
    return calls


def _message(message: Message, provider: str) -> Json:
    said: Json = {"role": _ROLES[message.role]}
    content = [_part(part, provider) for part in read_parts(message.said, message.path)]
    if message.role == "assistant":
        put_if(said, "content", content)
        put_if(said, "toolCalls", _calls(message))
    else:
        said["content"] = content
    if message.role == "tool":
        said["toolCallId"] = call_id(message.said, "tool_call_id", message.path)
    name = message.said.get("name")
    if isinstance(name, str) and name and message.role != "tool":
        said["name"] = name
    return said


def _put_tools(request: Json, body: Json, provider: str) -> None:
    kind, name = read_choice(body, provider)
    tools: list[Json] = []
    for path, tool in read_tools(body):
        function = read_function(tool, path, provider)
        made: Json = {"type": "FUNCTION", "name": function.name, "parameters": function.parameters}
        put_if(made, "description", function.description)
        tools.append(made)
    put_if(request, "tools", tools)
    if tools and body.get("tool_choice") is not None:
        request["toolChoice"] = {"type": "FUNCTION", "name": name} if kind == "function" else {"type": _CHOICES[kind]}


def _format(body: Json) -> Json | None:
    if body.get("response_format") is None:
        return None
    kind, held = read_format(body)
    if kind != "json_schema":
        return {"type": kind.upper()}
    schema = {"name": held.get("name") or "answer", "schema": held["schema"]}
    put_if(schema, "description", held.get("description"))
    put_if(schema, "isStrict", held.get("strict"))
    return {"type": "JSON_SCHEMA", "jsonSchema": schema}


def _put_capitals(request: Json, body: Json) -> None:
    for name, theirs in _IN_CAPITALS.items():
        value = body.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise wrong(name, "must be a string.")
            request[theirs] = value.upper()
    effort = read_effort(body, _EFFORTS)
    if effort is not None:
        request["reasoningEffort"] = _EFFORTS.get(effort, "NONE")


def encode_generic(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the request of an OpenAI chat body; raises BadRequest and Unsupported with the path at fault."""
    refuse_what_matters(body, provider, REFUSED)
    request: Json = {name: value for name, value in body.items() if name not in _OURS}
    request["apiFormat"] = "GENERIC"
    request["messages"] = [_message(message, provider) for message in read_messages(body)]
    _put_tools(request, body, provider)
    for name, theirs in _RENAMED.items():
        put_if(request, theirs, body.get(name))
    _put_capitals(request, body)
    put_if(request, "stop", stop_of(body))
    put_if(request, "responseFormat", _format(body))
    if facts.stream:
        request["isStream"] = True
        request["streamOptions"] = {"isIncludeUsage": True}
    return {**placed(facts, provider), "chatRequest": request}
