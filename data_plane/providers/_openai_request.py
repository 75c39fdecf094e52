"""What does an OpenAI chat request say?  Readers that translations share.

What cannot be understood is refused as the caller's fault, with the path of what is wrong.
Source: https://platform.openai.com/docs/api-reference/chat/create
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from data_plane.core.types import Json
from shared.errors import BadRequest, Unsupported

_ROLES: Final[Mapping[object, str]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
}  # fmt: skip
#: Where messages stand: written once, for every request asks for them.
_PATHS: Final = tuple(f"messages[{number}]" for number in range(512))


class Message(NamedTuple):
    """One message; `role` is system (also for developer), user, assistant or tool."""

    role: str
    path: str
    said: Json


class Part(NamedTuple):
    """One part of a message's content; a content that is a string is one part of the type text."""

    kind: str
    path: str
    said: Json


class Call(NamedTuple):
    """One call of a function; `arguments` are as the caller wrote them."""

    call_id: str
    name: str
    arguments: Any
    path: str
    said: Json


class Function(NamedTuple):
    """One function that the model may call; `tool` is the whole tool."""

    name: str
    description: str | None
    parameters: Json
    strict: bool | None
    tool: Json


def wrong(path: str, ought: str) -> BadRequest:
    """Return the refusal of what stands at `path` and ought to be something else."""
    return BadRequest(f"{path} {ought}", path=path)


def place_of_message(number: int) -> str:
    """Return the path of the message of that number, from 0."""
    return _PATHS[number] if number < len(_PATHS) else f"messages[{number}]"


def read_messages(body: Json) -> list[Message]:
    """Return the messages; raises BadRequest."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "must be a list that is not empty.")
    read: list[Message] = []
    for number, message in enumerate(messages):
        path = place_of_message(number)
        if not isinstance(message, dict):
            raise wrong(path, "must be an object.")
        role = message.get("role")
        known = _ROLES.get(role) if isinstance(role, str) else None
        if known is None:
            raise wrong(f"{path}.role", "must be system, developer, user, assistant or tool.")
        read.append(Message(known, path, message))
    return read


def read_parts(said: Json, path: str) -> list[Part]:
    """Return the parts of a message's content, [] when it is absent or null; raises BadRequest."""
    content = said.get("content")
    if content is None:
        return []
    path = f"{path}.content"
    if isinstance(content, str):
        part: Json = {"type": "text", "text": content}
        if "cache_control" in said:
            part["cache_control"] = said["cache_control"]
        return [Part("text", path, part)]
    if not isinstance(content, list):
        raise wrong(path, "must be a string or a list.")
    read: list[Part] = []
    for number, item in enumerate(content):
        at = f"{path}[{number}]"
        if not isinstance(item, dict):
            raise wrong(at, "must be an object.")
        kind = item.get("type")
        read.append(Part(kind if isinstance(kind, str) else "", at, item))
    return read


def text_of(part: Part) -> str:
    """Return the text of a part of the type text or refusal; raises BadRequest."""
    text = part.said.get(part.kind)
    if not isinstance(text, str):
        raise wrong(f"{part.path}.{part.kind}", "must be a string.")
    return text


def url_of(part: Part) -> tuple[str, str]:
    """Return (URL, its path) of a part like `image_url`; raises BadRequest."""
    held = part.said.get(part.kind)
    path = f"{part.path}.{part.kind}.url"
    url = held.get("url") if isinstance(held, dict) else held
    if not isinstance(url, str):
        raise wrong(path, "must be a string.")
    return url, path


def split_data_url(url: str, path: str) -> tuple[str, str]:
    """Return (media type in lower case, base64 text) of a `data:` URL; raises BadRequest."""
    head, comma, payload = url[len("data:") :].partition(",")
    kind, *flags = head.split(";")
    if comma and "base64" not in flags:
        payload = base64.b64encode(unquote_to_bytes(payload)).decode()
    if not comma or not payload:
        raise wrong(path, "is a data: URL without data.")
    return kind.strip().lower(), payload


def read_calls(said: Json, path: str) -> list[Call]:
    """Return the calls of functions in an assistant's message; raises BadRequest."""
    calls = said.get("tool_calls")
    if calls is None:
        return []
    path = f"{path}.tool_calls"
    if not isinstance(calls, list):
        raise wrong(path, "must be a list.")
    read: list[Call] = []
    for number, call in enumerate(calls):
        at = f"{path}[{number}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise wrong(at, "must be the call of a function.")
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise wrong(f"{at}.function.name", "must be a string.")
        read.append(Call(call_id(call, "id", at), name, function.get("arguments"), f"{at}.function.arguments", call))
    return read


def call_id(said: Json, name: str, path: str) -> str:
    """Return the id of a call of a function, held in `name`; raises BadRequest."""
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise wrong(f"{path}.{name}", "must be a string.")
    return value


def arguments_of(call: Call) -> Json:
    """Return the arguments of a call as an object; raises BadRequest."""
    value = call.arguments
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = None
    if not isinstance(value, dict):
        raise wrong(call.path, "must be a JSON object written as a string.")
    return value


def read_function(tool: Json, path: str, provider: str) -> Function:
    """Return the function of a tool; raises BadRequest, and Unsupported for a tool of another type."""
    kind, function = tool.get("type"), tool.get("function")
    if kind != "function" and function is None:
        raise Unsupported(f"{provider} does not support tools of the type {kind}.", path=f"{path}.type")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise wrong(f"{path}.function.name", "must be a string.")
    schema = function.get("parameters")
    if schema is None:
        schema = {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise wrong(f"{path}.function.parameters", "must be a JSON schema.")
    description, strict = function.get("description"), function.get("strict")
    return Function(
        function["name"],
        description if isinstance(description, str) and description else None,
        schema if "type" in schema else {"type": "object", **schema},
        strict if isinstance(strict, bool) else None,
        tool,
    )


def read_tools(body: Json) -> list[tuple[str, Json]]:
    """Return (path, tool) of each tool; raises BadRequest."""
    tools = body.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise wrong("tools", "must be a list.")
    for number, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise wrong(f"tools[{number}]", "must be an object.")
    return [(f"tools[{number}]", tool) for number, tool in enumerate(tools)]


def read_choice(body: Json, provider: str) -> tuple[str, str]:
    """Return ("auto" | "none" | "required" | "function", the function's name or ""); raises BadRequest, Unsupported.

    A call is forced by the last two, which make no sense without tools and are refused then.
    """
    choice = body.get("tool_choice")
    if choice is None:
        return "auto", ""
    kind, name = choice, ""
    if isinstance(choice, dict):
        kind, function = choice.get("type"), choice.get("function")
        if kind in ("allowed_tools", "custom"):
            raise Unsupported(f"{provider} does not support a tool_choice of the type {kind}.", path="tool_choice")
        named = function.get("name") if isinstance(function, dict) else None
        kind, name = ("function", named) if kind == "function" and isinstance(named, str) and named else (None, "")
    if kind not in ("auto", "none", "required", "function") or (kind == "function" and not name):
        raise wrong("tool_choice", "must be auto, none, required or a function.")
    if kind in ("required", "function") and not body.get("tools"):
        raise BadRequest("tool_choice asks for a call, but there are no tools.", path="tool_choice")
    return kind, name


def read_format(body: Json) -> tuple[str, Json]:
    """Return ("text" | "json_object" | "json_schema", what `json_schema` holds or {}); raises BadRequest."""
    wanted = body.get("response_format")
    if wanted is None:
        return "text", {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind in ("text", "json_object"):
        return kind, {}
    held = wanted.get("json_schema") if kind == "json_schema" and isinstance(wanted, dict) else None
    if not isinstance(held, dict) or not isinstance(held.get("schema"), dict):
        raise BadRequest("response_format.json_schema.schema must be a schema.", path="response_format")
    return "json_schema", held


def read_effort(body: Json, efforts: Mapping[str, Any]) -> str | None:
    """Return `reasoning_effort`, None when it is absent; raises BadRequest for one that is not among `efforts`."""
    effort = body.get("reasoning_effort")
    if effort is None:
        return None
    if not isinstance(effort, str) or (effort != "none" and effort not in efforts):
        raise wrong("reasoning_effort", f"must be none or one of {', '.join(efforts)}.")
    return effort


def max_tokens_of(body: Json) -> Any:
    """Return the limit of the answer's tokens, None for none."""
    wanted = body.get("max_completion_tokens")
    return body.get("max_tokens") if wanted is None else wanted


def stop_of(body: Json) -> list[Any]:
    """Return the texts that end the answer; [] for none."""
    stop = body.get("stop")
    if stop is None or stop == "":
        return []
    return [text for text in stop if text != ""] if isinstance(stop, list) else [stop]


def refuse_what_matters(body: Json, provider: str, refused: Mapping[str, Callable[[Any], bool]]) -> None:
    """Raise Unsupported for a parameter whose value matters, by a table of what each value means."""
    for name, matters in refused.items():
        value = body.get(name)
        if value is not None and matters(value):
            raise Unsupported(f"{provider} does not support the parameter {name}.", path=name)


def put_if(request: Json, name: str, value: Any) -> None:
    """Put `value` into `request` unless it is None or empty."""
    if value is not None and value not in ([], {}):
        request[name] = value
