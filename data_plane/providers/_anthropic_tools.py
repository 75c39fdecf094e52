"""Tools and the choice among them, from OpenAI's words to Anthropic's.

Source: https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use
"""

from collections.abc import Mapping
from typing import Final

from data_plane.core.types import Json
from shared.errors import BadRequest, Unsupported

_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "none": "none", "required": "any"}
_NATIVE_CHOICES: Final = frozenset({"auto", "any", "tool", "none"})
#: Choices that force a call; Anthropic does not think before those.
_FORCED: Final = frozenset({"any", "tool"})


def _schema(function: Json, path: str) -> Json:
    schema = function.get("parameters")
    if schema is None:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise BadRequest(f"{path}.parameters must be a JSON schema.", path=f"{path}.parameters")
    return schema if "type" in schema else {"type": "object", **schema}


def _tool(tool: object, path: str, provider: str) -> Json:
    if not isinstance(tool, dict):
        raise BadRequest(f"{path} must be an object.", path=path)
    function = tool.get("function")
    if tool.get("type") == "custom" and "custom" in tool:
        raise Unsupported(f"{provider} does not support tools of the type custom.", path=f"{path}.type")
    if tool.get("type") != "function":
        return tool
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest(f"{path}.function.name must be a string.", path=f"{path}.function.name")
    path = f"{path}.function"
    made: Json = {"name": function["name"], "input_schema": _schema(function, path)}
    if isinstance(function.get("description"), str):
        made["description"] = function["description"]
    if isinstance(function.get("strict"), bool):
        made["strict"] = function["strict"]
    # Whatever else stands there is Anthropic's own: cache_control, defer_loading, input_examples, …
    extras = {name: value for name, value in tool.items() if name not in {"type", "function"}}
    if isinstance(function.get("cache_control"), dict):
        extras.setdefault("cache_control", function["cache_control"])
    return {**made, **extras}


def encode_tools(body: Json, provider: str) -> list[Json]:
    """Return Anthropic's tools; [] when the caller gives none.  Raises BadRequest, Unsupported."""
    tools = body.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise BadRequest("tools must be a list.", path="tools")
    return [_tool(tool, f"tools[{number}]", provider) for number, tool in enumerate(tools)]


def _choice(choice: object, provider: str) -> Json | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _CHOICES:
        return {"type": _CHOICES[choice]}
    if isinstance(choice, dict):
        kind, function = choice.get("type"), choice.get("function")
        if kind == "function" and isinstance(function, dict) and isinstance(function.get("name"), str):
            return {"type": "tool", "name": function["name"]}
        if isinstance(kind, str) and kind in _NATIVE_CHOICES:
            return dict(choice)
        if kind in ("allowed_tools", "custom"):
            raise Unsupported(f"{provider} does not support a tool_choice of the type {kind}.", path="tool_choice")
    raise BadRequest("tool_choice must be auto, none, required or a function.", path="tool_choice")


def encode_choice(body: Json, provider: str, *, has_tools: bool) -> Json | None:
    """Return Anthropic's `tool_choice`; None when nothing needs saying.  Raises BadRequest, Unsupported."""
    choice = _choice(body.get("tool_choice"), provider)
    if not has_tools:
        if choice is not None and choice["type"] in _FORCED:
            raise BadRequest("tool_choice asks for a call, but there are no tools.", path="tool_choice")
        return None
    if body.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def is_forced(choice: Json | None) -> bool:
    """Return whether the model has to call a tool."""
    return choice is not None and choice["type"] in _FORCED
