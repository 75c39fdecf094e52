"""Tools and the choice among them, from OpenAI's words to Gemini's.

Google's own tools are named in Gemini's words (`{"google_search": {}}`), or like a function without parameters.
Source: https://ai.google.dev/api/caching#Tool, https://ai.google.dev/gemini-api/docs/function-calling
"""

from collections.abc import Mapping
from typing import Final

from data_plane.core.types import Json
from data_plane.providers._gemini_schema import gemini_schema
from data_plane.providers._openai_like import mapping
from data_plane.providers._openai_request import read_choice, read_function, read_tools

_OWN: Final[Mapping[str, str]] = {
    "google_search": "googleSearch", "google_search_retrieval": "googleSearchRetrieval",
    "code_execution": "codeExecution", "url_context": "urlContext", "google_maps": "googleMaps",
    "file_search": "fileSearch", "computer_use": "computerUse", "enterprise_web_search": "enterpriseWebSearch",
    "retrieval": "retrieval", "mcp_servers": "mcpServers", "function_declarations": "functionDeclarations",
}  # fmt: skip
_OWN_NAMES: Final = frozenset(_OWN) | frozenset(_OWN.values())
#: Google's tools that can be asked for like a function; the others need to be told more.
_LIKE_FUNCTIONS: Final[Mapping[str, str]] = {
    form: own
    for name, own in _OWN.items()
    if name in {"google_search", "google_search_retrieval", "code_execution", "url_context", "google_maps",
                "enterprise_web_search"}
    for form in (name, own)
}  # fmt: skip
#: Members that, without properties, say no more than that there are none.
_OF_OBJECTS: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "$schema", "title", "description", "strict"}
)
_MODES: Final[Mapping[str, str]] = {"none": "NONE", "required": "ANY", "function": "ANY"}


def _says_something(schema: Json) -> bool:
    extra = schema.get("additionalProperties")
    return bool(schema.get("properties")) or isinstance(extra, dict) or not schema.keys() <= _OF_OBJECTS


def _declaration(tool: Json, path: str, provider: str) -> Json:
    function = read_function(tool, path, provider)
    made: Json = {"name": function.name}
    if function.description is not None:
        made["description"] = function.description
    # Gemini refuses an object without properties, and takes a function without parameters.
    if _says_something(function.parameters):
        schema = gemini_schema(function.parameters)
        made |= {"parametersJsonSchema": function.parameters} if schema is None else {"parameters": schema}
    return made


def _own_tool(tool: Json) -> Json | None:
    """Return one of Google's own tools, None for a function of the caller's."""
    function = tool.get("function")
    if function is None:
        found = {name: value for name, value in tool.items() if name in _OWN_NAMES}
        return found or None
    name = function.get("name") if isinstance(function, dict) else None
    own = _LIKE_FUNCTIONS.get(name) if isinstance(name, str) else None
    if own is None or not isinstance(function, dict):
        return None
    given = mapping(function.get("parameters"))
    if given.get("properties"):
        return None
    return {own: {key: value for key, value in given.items() if key not in _OF_OBJECTS}}


def encode_tools(body: Json, provider: str) -> list[Json]:
    """Return Gemini's tools; [] when the caller gives none.  Raises BadRequest, Unsupported."""
    declarations: list[Json] = []
    tools: list[Json] = []
    for path, tool in read_tools(body):
        own = _own_tool(tool)
        if own is None:
            declarations.append(_declaration(tool, path, provider))
        else:
            tools.append(own)
    if body.get("web_search_options") is not None and not any("googleSearch" in tool for tool in tools):
        tools.append({"googleSearch": {}})
    return [{"functionDeclarations": declarations}, *tools] if declarations else tools


def encode_choice(body: Json, provider: str) -> Json | None:
    """Return Gemini's `toolConfig`; None when nothing needs saying.  Raises BadRequest, Unsupported."""
    kind, name = read_choice(body, provider)
    if kind == "auto" or not body.get("tools"):
        return None
    choice: Json = {"mode": _MODES[kind]}
    if name:
        choice["allowedFunctionNames"] = [name]
    return {"functionCallingConfig": choice}
