"""Is what a caller wrote read as OpenAI means it, and refused with the place of the fault?"""

import orjson
import pytest

from data_plane.providers import _openai_request as read
from shared.errors import BadRequest, Unsupported

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


def refused(path, call, *values):
    with pytest.raises(BadRequest) as refusal:
        call(*values)
    assert refusal.value.path == path


def test_messages_are_read_with_their_roles_and_places():
    roles = ["system", "developer", "user", "assistant", "tool"]
    messages = read.read_messages({"messages": [{"role": role} for role in roles]})
    assert [(message.role, message.path) for message in messages] == [
        ("system", "messages[0]"), ("system", "messages[1]"), ("user", "messages[2]"), ("assistant", "messages[3]"),
        ("tool", "messages[4]"),
    ]  # fmt: skip


@pytest.mark.parametrize(("messages", "path"), [
    (None, "messages"), ([], "messages"), ("x", "messages"), ([1], "messages[0]"), ([{}], "messages[0].role"),
    ([{"role": "function"}], "messages[0].role"), ([{"role": ["user"]}], "messages[0].role"),
])  # fmt: skip
def test_messages_that_are_none_are_refused(messages, path):
    refused(path, read.read_messages, {"messages": messages})


def test_a_text_is_one_part_and_keeps_its_mark_for_the_cache():
    (part,) = read.read_parts({"content": "hi", "cache_control": {"type": "ephemeral"}}, "m")
    assert (part.kind, part.said["text"], part.said["cache_control"]) == ("text", "hi", {"type": "ephemeral"})
    assert read.read_parts({"content": None}, "m") == []


@pytest.mark.parametrize(("content", "path"), [(1, "m.content"), (["x"], "m.content[0]")])
def test_content_that_is_none_is_refused(content, path):
    refused(path, read.read_parts, {"content": content}, "m")


def test_texts_and_urls_of_parts():
    parts = read.read_parts({"content": [
        {"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}, {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "image_url", "image_url": "v"},
    ]}, "m")  # fmt: skip
    assert [read.text_of(part) for part in parts[:2]] == ["a", "b"]
    assert [read.url_of(part) for part in parts[2:]] == [
        ("u", "m.content[2].image_url.url"), ("v", "m.content[3].image_url.url"),
    ]  # fmt: skip
    refused("m.content.text", read.text_of, read.Part("text", "m.content", {"text": 1}))
    refused("m.content.image_url.url", read.url_of, read.Part("image_url", "m.content", {}))


@pytest.mark.parametrize(("url", "parts"), [
    ("data:image/PNG;base64,AAAA", ("image/png", "AAAA")), ("data:text/plain;charset=utf-8,a%20b", ("text/plain", "YSBi")),
    ("data:;base64,AA==", ("", "AA==")),
])  # fmt: skip
def test_data_urls_are_split(url, parts):
    assert read.split_data_url(url, "p") == parts


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:image/png;base64,", "data:,"])
def test_data_urls_without_data_are_refused(url):
    refused("p", read.split_data_url, url, "p")


def test_calls_are_read_with_their_arguments():
    (call,) = read.read_calls({"tool_calls": [CALL]}, "m")
    assert (call.call_id, call.name, call.arguments, read.arguments_of(call)) == ("a", "f", '{"x":1}', {"x": 1})
    assert read.read_calls({}, "m") == []


@pytest.mark.parametrize(("given", "meant"), [(None, {}), ("", {}), ({"y": 2}, {"y": 2}), ("{}", {})])
def test_arguments_may_be_absent_or_an_object(given, meant):
    assert read.arguments_of(read.Call("a", "f", given, "p", {})) == meant


@pytest.mark.parametrize("given", ["[]", "{", 3, "\ud800"])
def test_arguments_that_are_no_object_are_refused(given):
    refused("p", read.arguments_of, read.Call("a", "f", given, "p", {}))


@pytest.mark.parametrize(("calls", "path"), [
    ("x", "m.tool_calls"), ([1], "m.tool_calls[0]"), ([{"id": "a"}], "m.tool_calls[0]"),
    ([{**CALL, "id": ""}], "m.tool_calls[0].id"), ([{**CALL, "function": {}}], "m.tool_calls[0].function.name"),
])  # fmt: skip
def test_calls_that_are_none_are_refused(calls, path):
    refused(path, read.read_calls, {"tool_calls": calls}, "m")


def test_a_function_is_read_and_its_schema_is_made_whole():
    tool = {
        "type": "function",
        "function": {"name": "f", "description": "", "parameters": {"properties": {}}, "strict": True},
    }
    function = read.read_function(tool, "tools[0]", "p")
    assert (function.name, function.description, function.strict) == ("f", None, True)
    assert function.parameters == {"type": "object", "properties": {}}
    bare = read.read_function({"type": "function", "function": {"name": "f"}}, "tools[0]", "p")
    assert (bare.parameters, bare.strict) == ({"type": "object", "properties": {}}, None)


def test_tools_that_are_no_functions_are_refused():
    with pytest.raises(Unsupported, match="p does not support tools of the type web_search"):
        read.read_function({"type": "web_search"}, "tools[0]", "p")
    refused("tools[0].function.name", read.read_function, {"type": "function"}, "tools[0]", "p")
    refused("tools[0].function.parameters", read.read_function,
            {"type": "function", "function": {"name": "f", "parameters": 1}}, "tools[0]", "p")  # fmt: skip
    refused("tools", read.read_tools, {"tools": {}})
    refused("tools[1]", read.read_tools, {"tools": [{}, 1]})
    assert read.read_tools({"tools": None}) == []


@pytest.mark.parametrize(("choice", "meant"), [
    (None, ("auto", "")), ("auto", ("auto", "")), ("none", ("none", "")), ("required", ("required", "")),
    ({"type": "function", "function": {"name": "f"}}, ("function", "f")),
])  # fmt: skip
def test_a_choice_is_read(choice, meant):
    assert read.read_choice({"tool_choice": choice, "tools": [{}]}, "p") == meant


@pytest.mark.parametrize("choice", ["any", 1, [], {}, "function", {"type": "function"}, {"type": "required"}])
def test_a_choice_that_is_none_is_refused(choice):
    refused("tool_choice", read.read_choice, {"tool_choice": choice, "tools": [{}]}, "p")


def test_a_call_cannot_be_demanded_without_tools():
    refused("tool_choice", read.read_choice, {"tool_choice": "required"}, "p")


@pytest.mark.parametrize("kind", ["allowed_tools", "custom"])
def test_choices_that_only_openai_has_are_unsupported(kind):
    with pytest.raises(Unsupported, match=kind):
        read.read_choice({"tool_choice": {"type": kind}, "tools": [{}]}, "p")


def test_formats_of_answers_are_read():
    schema = {"name": "s", "schema": {"type": "object"}}
    assert read.read_format({}) == ("text", {})
    assert read.read_format({"response_format": {"type": "json_object"}}) == ("json_object", {})
    assert read.read_format({"response_format": {"type": "json_schema", "json_schema": schema}}) == (
        "json_schema",
        schema,
    )
    for wrong in (
        "json",
        {"type": "json_schema"},
        {"type": "xml"},
        {"type": "json_schema", "json_schema": {"schema": 1}},
    ):
        refused("response_format", read.read_format, {"response_format": wrong})


def test_efforts_limits_and_stops_are_read():
    assert [read.read_effort({"reasoning_effort": it}, {"low": 1}) for it in (None, "none", "low")] == [
        None,
        "none",
        "low",
    ]
    refused("reasoning_effort", read.read_effort, {"reasoning_effort": "huge"}, {"low": 1})
    refused("reasoning_effort", read.read_effort, {"reasoning_effort": ["low"]}, {"low": 1})
    assert read.max_tokens_of({"max_tokens": 1, "max_completion_tokens": 2}) == 2
    assert (read.max_tokens_of({"max_tokens": 1}), read.max_tokens_of({})) == (1, None)
    assert [read.stop_of({"stop": it}) for it in (None, "", "a", ["a", "", "b"])] == [[], [], ["a"], ["a", "b"]]


def test_a_parameter_is_refused_only_for_a_value_that_matters():
    table = {"n": lambda value: value != 1}
    read.refuse_what_matters({"n": 1}, "p", table)
    read.refuse_what_matters({"n": None}, "p", table)
    with pytest.raises(Unsupported, match="p does not support the parameter n"):
        read.refuse_what_matters({"n": 2}, "p", table)


def test_nothing_is_put_for_nothing():
    request = {}
    for name, value in (("a", None), ("b", []), ("c", {}), ("d", 0), ("e", False)):
        read.put_if(request, name, value)
    assert request == {"d": 0, "e": False}


def test_arguments_with_numbers_beyond_64_bits_can_be_sent_on():
    call = read.Call("a", "f", '{"x": 123456789012345678901234567890}', "messages[0].tool_calls[0]", {})
    assert b"1.23456789" in orjson.dumps(read.arguments_of(call))
