"""Do tools and the choice among them keep their meaning?"""

import pytest

from data_plane.providers._anthropic_tools import encode_choice, encode_tools, is_forced
from shared.errors import BadRequest, Unsupported

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}


def tool(**function):
    return {"type": "function", "function": {"name": "weather", **function}}


def tools(*given):
    return encode_tools({"tools": list(given)}, "anthropic")


def choice(choice=None, *, has_tools=True, **body):
    return encode_choice({"tool_choice": choice, **body}, "anthropic", has_tools=has_tools)


def test_a_function_becomes_a_tool_with_an_input_schema():
    assert tools(tool(description="d", parameters=SCHEMA, strict=True)) == [
        {"name": "weather", "input_schema": SCHEMA, "description": "d", "strict": True}
    ]


def test_what_is_not_said_is_not_made_up():
    assert tools(tool(description=None, strict=None)) == [
        {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
    ]


def test_a_schema_without_a_type_is_one_of_an_object():
    assert tools(tool(parameters={"properties": {}}))[0]["input_schema"] == {"type": "object", "properties": {}}


def test_cache_marks_and_other_fields_of_anthropic_are_kept():
    mark = {"type": "ephemeral"}
    assert tools({**tool(), "cache_control": mark, "defer_loading": True}, tool(cache_control=mark)) == [
        {"name": "weather", "input_schema": {"type": "object", "properties": {}}, "cache_control": mark,
         "defer_loading": True},
        {"name": "weather", "input_schema": {"type": "object", "properties": {}}, "cache_control": mark},
    ]  # fmt: skip


def test_anthropics_own_tools_pass_untouched():
    own = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}, {"name": "x", "input_schema": SCHEMA}]
    assert tools(*own) == own


@pytest.mark.parametrize("body", [{}, {"tools": None}, {"tools": []}])
def test_no_tools_are_none(body):
    assert encode_tools(body, "anthropic") == []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (5, "tools[0]"),
        ({"type": "function"}, "tools[0].function.name"),
        (tool(name=3), "tools[0].function.name"),
        (tool(parameters=[]), "tools[0].function.parameters"),
    ],
)
def test_a_malformed_tool_is_refused_with_its_path(given, path):
    with pytest.raises(BadRequest) as caught:
        tools(given)
    assert caught.value.path == path


def test_tools_that_are_no_list_are_refused():
    with pytest.raises(BadRequest):
        encode_tools({"tools": {}}, "anthropic")


def test_openais_custom_tools_are_refused_by_name():
    with pytest.raises(Unsupported, match="anthropic does not support tools of the type custom"):
        tools({"type": "custom", "custom": {"name": "x"}})


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        ({"type": "any"}, {"type": "any"}),
        ({"type": "tool", "name": "f"}, {"type": "tool", "name": "f"}),
    ],
)
def test_every_choice_has_its_counterpart(given, made):
    assert choice(given) == made


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
    ],
)
def test_parallel_calls_can_be_switched_off(given, made):
    assert choice(given, parallel_tool_calls=False) == made


def test_parallel_calls_are_anthropics_default():
    assert choice(parallel_tool_calls=True) is None


def test_without_tools_there_is_nothing_to_choose():
    assert choice("auto", has_tools=False, parallel_tool_calls=False) is None


def test_a_call_cannot_be_forced_without_tools():
    with pytest.raises(BadRequest):
        choice("required", has_tools=False)


@pytest.mark.parametrize("given", ["sometimes", 3, [], {}, {"type": "function"}, {"type": ["any"]}])
def test_an_unknown_choice_is_refused(given):
    with pytest.raises(BadRequest) as caught:
        choice(given)
    assert caught.value.path == "tool_choice"


@pytest.mark.parametrize("kind", ["allowed_tools", "custom"])
def test_choices_that_anthropic_does_not_have_are_refused_by_name(kind):
    with pytest.raises(Unsupported, match=kind):
        choice({"type": kind})


@pytest.mark.parametrize(("made", "forced"), [(None, False), ({"type": "auto"}, False), ({"type": "tool"}, True)])
def test_only_any_and_tool_force_a_call(made, forced):
    assert is_forced(made) is forced
