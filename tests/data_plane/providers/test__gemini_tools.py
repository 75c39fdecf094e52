import pytest

from data_plane.providers._gemini_tools import encode_choice, encode_tools
from shared.errors import BadRequest, Unsupported

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def function(name="f", **beside):
    return {"type": "function", "function": {"name": name, **beside}}


def tools(*given, **body):
    return encode_tools({"tools": list(given), **body}, "google")


def test_functions_are_declared_together():
    assert tools(function(description="d", parameters=POINT, strict=True), function("g")) == [{"functionDeclarations": [
        {"name": "f", "description": "d",
         "parameters": {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}, "required": ["x"]}},
        {"name": "g"},
    ]}]  # fmt: skip


@pytest.mark.parametrize("parameters", [
    None, {}, {"type": "object"}, {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
])  # fmt: skip
def test_a_function_without_parameters_says_none(parameters):
    assert tools(function(parameters=parameters)) == [{"functionDeclarations": [{"name": "f"}]}]


@pytest.mark.parametrize("parameters", [
    {"type": "object", "properties": {"a": {}}}, {"type": "object", "additionalProperties": {"type": "string"}},
    {"type": "object", "$ref": "#/$defs/gone"},
])  # fmt: skip
def test_parameters_beyond_geminis_words_are_sent_as_json_schema(parameters):
    declared = tools(function(parameters=parameters))[0]["functionDeclarations"][0]
    assert declared == {"name": "f", "parametersJsonSchema": parameters}


@pytest.mark.parametrize(("given", "own"), [
    ({"google_search": {}}, {"google_search": {}}), ({"codeExecution": {}}, {"codeExecution": {}}),
    ({"type": "google", "googleMaps": {"enableWidget": True}}, {"googleMaps": {"enableWidget": True}}),
    (function("google_search"), {"googleSearch": {}}),
    (function("googleSearchRetrieval", parameters={"type": "object", "dynamicRetrievalConfig": {"mode": "X"}}),
     {"googleSearchRetrieval": {"dynamicRetrievalConfig": {"mode": "X"}}}),
    (function("url_context", parameters={"type": "object", "properties": {}}), {"urlContext": {}}),
])  # fmt: skip
def test_googles_own_tools_stand_beside_the_functions(given, own):
    assert tools(function(), given) == [{"functionDeclarations": [{"name": "f"}]}, own]


def test_a_function_of_the_caller_may_be_named_like_one_of_googles_tools():
    assert "functionDeclarations" in tools(function("google_search", parameters=POINT))[0]


def test_web_search_is_googles_once():
    assert encode_tools({"web_search_options": {}}, "google") == [{"googleSearch": {}}]
    assert tools(function("google_search"), web_search_options={}) == [{"googleSearch": {}}]
    assert encode_tools({}, "google") == []


@pytest.mark.parametrize(("given", "path"), [
    (7, "tools[0]"), (function(""), "tools[0].function.name"), ({"type": "function"}, "tools[0].function.name"),
    (function(parameters=7), "tools[0].function.parameters"), (function(7), "tools[0].function.name"),
])  # fmt: skip
def test_a_tool_that_is_none_is_refused_with_its_path(given, path):
    with pytest.raises(BadRequest) as raised:
        tools(given)
    assert raised.value.path == path


def test_a_tool_of_another_type_is_unsupported():
    with pytest.raises(Unsupported, match="google does not support tools of the type custom"):
        tools({"type": "custom", "custom": {"name": "x"}})


@pytest.mark.parametrize(("choice", "config"), [
    (None, None), ("auto", None), ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"}),
    (function("f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
])  # fmt: skip
def test_the_choice_among_tools_is_a_mode(choice, config):
    made = encode_choice({"tools": [function()], "tool_choice": choice}, "google")
    assert made == (None if config is None else {"functionCallingConfig": config})


def test_without_tools_there_is_nothing_to_choose():
    assert encode_choice({"tool_choice": "none"}, "google") is None
    with pytest.raises(BadRequest):
        encode_choice({"tool_choice": "required"}, "google")
