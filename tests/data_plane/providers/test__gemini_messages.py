import copy

import pytest

from data_plane.providers._gemini_messages import NO_SIGNATURE, split_messages
from shared.errors import BadRequest

OLD, NEW = "gemini-2.5-flash", "gemini-3.5-flash"


def call(call_id, name="f", arguments="{}", **beside):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments, **beside}}


def asked(*calls, content=None, **beside):
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **beside}


def result(call_id, content="ok", **beside):
    return {"role": "tool", "tool_call_id": call_id, "content": content, **beside}


def user(content="q"):
    return {"role": "user", "content": content}


def split(*messages, model=OLD):
    body = {"messages": list(messages)}
    before = copy.deepcopy(body)
    told = split_messages(body, model, "google")
    assert body == before
    return told


def contents(*messages, model=OLD):
    return split(*messages, model=model)[1]


def test_every_system_message_is_the_system_prompt_wherever_it_stands():
    system, rest = split(
        {"role": "system", "content": "a"}, user(), {"role": "developer", "content": [{"type": "text", "text": "b"}]}
    )
    assert system == [{"text": "a"}, {"text": "b"}]
    assert rest == [{"role": "user", "parts": [{"text": "q"}]}]


def test_messages_of_one_role_are_one_turn():
    assert contents(user("a"), user("b"), {"role": "assistant", "content": "c"}, user("d")) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": [{"text": "d"}]},
    ]


def test_results_take_their_functions_name_and_the_order_of_the_calls():
    calls = asked(call("1", "f", '{"a":1}'), call("2", "g", ""), content="let me see")
    _, model, tools, after = contents(user(), calls, result("2", "two"), result("1", "one"), user("and?"))
    assert model == {"role": "model", "parts": [
        {"text": "let me see"}, {"functionCall": {"name": "f", "args": {"a": 1}}},
        {"functionCall": {"name": "g", "args": {}}},
    ]}  # fmt: skip
    assert tools == {"role": "user", "parts": [
        {"functionResponse": {"name": "f", "response": {"output": "one"}}},
        {"functionResponse": {"name": "g", "response": {"output": "two"}}},
    ]}  # fmt: skip
    # What the user says does not stand among the results, whose number must be that of the calls.
    assert after == {"role": "user", "parts": [{"text": "and?"}]}


def test_a_result_is_text_and_a_failure_is_told_as_one():
    _, _, tools = contents(
        user(), asked(call("1"), call("2"), call("3")),
        result("1", '{"id":12345678901234567890}'), result("2", "boom", is_error=True), result("3", None),
    )  # fmt: skip
    assert [part["functionResponse"]["response"] for part in tools["parts"]] == [
        {"output": '{"id":12345678901234567890}'}, {"error": "boom"}, {"output": ""},
    ]  # fmt: skip


def test_pictures_in_a_result_stand_beside_its_text():
    content = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        {"type": "text", "text": "b"},
    ]
    _, _, tools = contents(user(), asked(call("1")), result("1", content))
    assert tools["parts"][0]["functionResponse"] == {
        "name": "f", "response": {"output": "a\nb"}, "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}],
    }  # fmt: skip


def test_a_result_without_its_call_needs_a_name():
    (turn,) = contents(result("x", name="f"))
    assert turn["parts"][0]["functionResponse"]["name"] == "f"
    with pytest.raises(BadRequest) as raised:
        contents(user(), result("x"))
    assert raised.value.path == "messages[1].tool_call_id"


def test_generation_3_gets_the_ids_and_older_models_do_not():
    _, model, tools = contents(user(), asked(call("1"), call("2")), result("2"), result("1"), model=NEW)
    assert [part["functionCall"]["id"] for part in model["parts"]] == ["1", "2"]
    assert [part["functionResponse"]["id"] for part in tools["parts"]] == ["1", "2"]
    assert "'id'" not in str(contents(user(), asked(call("1")), result("1")))


@pytest.mark.parametrize("beside", [
    {"thought_signature": "S"}, {}, {"thought_signature": 7}, {"thought_signature": ""},
])  # fmt: skip
@pytest.mark.parametrize("model", [OLD, NEW, "gemini-flash-latest", "gemini-4-x"])
def test_a_signature_goes_back_and_a_lost_one_is_excused_where_it_is_asked_for(model, beside):
    _, turn = contents(user(), asked(call("1", **beside), call("2")), model=model)
    lost = NO_SIGNATURE if model != OLD else None
    told = "S" if beside == {"thought_signature": "S"} else lost
    assert [part.get("thoughtSignature") for part in turn["parts"]] == [told, None]


def test_a_signature_is_found_where_googles_own_openai_endpoint_writes_it():
    signed = {**call("1"), "extra_content": {"google": {"thought_signature": "S"}}}
    _, turn = contents(user(), asked(signed), model=NEW)
    assert turn["parts"][0]["thoughtSignature"] == "S"


def test_signed_blocks_of_an_earlier_answer_go_back_and_thoughts_do_not():
    blocks = [
        {"type": "thinking", "thinking": "hm", "thought_signature": "0"},
        {"type": "text", "text": "a", "thought_signature": "1"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        {"type": "text", "text": "", "thought_signature": "2"},
        {"executableCode": {}},
    ]
    _, turn = contents(user(), {"role": "assistant", "content": "a", "content_blocks": blocks})
    assert turn["parts"] == [
        {"text": "a", "thoughtSignature": "1"}, {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"text": "", "thoughtSignature": "2"},
    ]  # fmt: skip


def test_blocks_of_another_provider_are_not_needed():
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "claude's"}, {"type": "text", "text": "a"}]
    _, turn = contents(user(), {"role": "assistant", "content": "a", "content_blocks": blocks})
    assert turn["parts"] == [{"text": "a"}]


@pytest.mark.parametrize(("messages", "path"), [
    ([], "messages"), ([{"role": "system", "content": "s"}], "messages"), ([user("")], "messages[0].content"),
    ([user(), asked(call("", "f"))], "messages[1].tool_calls[0].id"),
    ([user(), asked({"id": "1"})], "messages[1].tool_calls[0]"),
    ([user(), asked(call("1", arguments="[]"))], "messages[1].tool_calls[0].function.arguments"),
    ([user(), {"role": "assistant", "content_blocks": 7}], "messages[1].content_blocks"),
    ([user(), asked(call("1")), {"role": "tool", "content": "x"}], "messages[2].tool_call_id"),
    ([{"role": "function", "content": "x"}], "messages[0].role"),
])  # fmt: skip
def test_what_gemini_would_refuse_is_refused_with_the_callers_path(messages, path):
    with pytest.raises(BadRequest) as raised:
        split(*messages)
    assert raised.value.path == path


def test_an_assistant_that_said_nothing_takes_no_turn():
    assert contents(user("a"), {"role": "assistant", "content": ""}, user("b")) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}
    ]
