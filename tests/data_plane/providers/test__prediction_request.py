"""Do OpenAI's chats and images become predictions?"""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._prediction_request import LEFT_OUT, REFUSED, encode_chat, encode_image, prediction_path
from shared.errors import BadRequest, Unsupported

ASKED = [{"role": "user", "content": "hi"}]
TALK = [
    {"role": "system", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    {"role": "assistant", "content": "ho"}, {"role": "user", "content": "and?"},
]  # fmt: skip


def chat(body, facts):
    return encode_chat(body, facts, provider="replicate")


def image(body, facts):
    return encode_image(body, facts, provider="replicate")


@pytest.mark.parametrize(("model", "path", "version"), [
    ("meta/llama", "/models/meta/llama/predictions", None), ("meta/llama:v1", "/predictions", "v1"), ("a1b2", "/predictions", "a1b2"),
    ("deployments/me/mine", "/deployments/me/mine/predictions", None), ("a?/b#", "/models/a%3F/b%23/predictions", None),
])  # fmt: skip
def test_a_model_is_named_in_one_of_three_ways(facts, model, path, version):
    assert prediction_path(facts(model)) == path
    assert chat({"messages": ASKED}, facts(model)).get("version") == version


@pytest.mark.parametrize(
    "model", ["", "..", "../x", "a/..", "a/b/c", "/b", "a/", "deployments/me", "deployments/me/.."]
)
def test_a_name_that_leads_elsewhere_is_refused(facts, model):
    with pytest.raises(BadRequest) as refusal:
        prediction_path(facts(model))
    assert refusal.value.path == "model"


def test_a_question_is_the_prompt_and_what_is_unknown_passes(facts):
    body = {
        "model": "x",
        "messages": ASKED,
        "max_tokens": 5,
        "stop": ["a", "b"],
        "top_k": 3,
        "user": "u",
        "stream": True,
    }
    before = orjson.dumps(body)
    assert chat(body, facts("meta/llama")) == {
        "input": {"prompt": "hi", "max_tokens": 5, "stop_sequences": "a,b", "top_k": 3},
    }  # fmt: skip
    assert orjson.dumps(body) == before


def test_a_conversation_says_who_speaks(facts):
    assert chat({"messages": TALK}, facts("meta/llama"))["input"] == {
        "system_prompt": "be brief", "prompt": "User: hi\n\nAssistant: ho\n\nUser: and?\n\nAssistant:",
    }  # fmt: skip


def test_models_of_openai_take_the_conversation_as_it_is(facts):
    assert chat({"messages": TALK, "max_tokens": 5}, facts("openai/gpt-5"))["input"] == {
        "messages": TALK, "max_completion_tokens": 5,
    }  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_answer_is_refused(facts, name):
    with pytest.raises(Unsupported) as refusal:
        chat({"messages": ASKED, name: [{"x": 1}]}, facts("a/b"))
    assert refusal.value.path == name


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_would_not_is_left_out(facts, name):
    assert chat({"messages": ASKED, name: "x"}, facts("a/b")) == {"input": {"prompt": "hi"}}


@pytest.mark.parametrize("message", [
    {"role": "tool", "tool_call_id": "a", "content": "x"}, {"role": "assistant", "tool_calls": [{}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example"}}]},
])  # fmt: skip
def test_what_these_models_do_not_know_is_refused(facts, message):
    with pytest.raises(Unsupported) as refusal:
        chat({"messages": [*ASKED, message]}, facts("a/b"))
    assert refusal.value.path.startswith("messages[1]")


@pytest.mark.parametrize(("body", "path"), [
    ({"messages": [TALK[0]]}, "messages"), ({"messages": ASKED, "stop": ["a,b"]}, "stop"), ({"messages": ASKED, "stop": [1]}, "stop"),
])  # fmt: skip
def test_a_request_that_cannot_be_written_is_the_callers_fault(facts, body, path):
    with pytest.raises(BadRequest) as refusal:
        chat(body, facts("a/b"))
    assert refusal.value.path == path


def test_images_have_sizes_and_numbers(facts):
    body = {
        "model": "x",
        "prompt": "a cat",
        "size": "64x128",
        "n": 2,
        "response_format": "url",
        "guidance": 3,
        "user": "u",
    }
    assert image(body, facts("bfl/flux")) == {
        "input": {"prompt": "a cat", "guidance": 3, "num_outputs": 2, "width": 64, "height": 128},
    }  # fmt: skip
    assert image({"prompt": "a", "size": "auto", "width": 7}, facts("v1")) == {
        "version": "v1", "input": {"prompt": "a", "width": 7},
    }  # fmt: skip


@pytest.mark.parametrize(("body", "stream", "path"), [
    ({"response_format": "b64_json"}, False, "response_format"), ({}, True, "stream"),
])  # fmt: skip
def test_what_no_prediction_gives_is_refused(facts, body, stream, path):
    with pytest.raises(Unsupported) as refusal:
        image({"prompt": "a", **body}, facts("a/b", stream=stream))
    assert refusal.value.path == path


VALUES = st.recursive(st.none() | st.integers(0, 3) | st.text(max_size=3), lambda i: st.lists(i, max_size=2)
                      | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), i), max_leaves=6)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["messages", "stop", "n", "size", "prompt", "max_tokens"]), VALUES))
def test_whatever_is_asked_is_encoded_or_the_callers_fault(body):
    for encode in (chat, image):
        try:
            made = encode(body, CallFacts("a/b", False, True, {}, {}))
        except BadRequest as refusal:
            made = {"input": refusal.path}
        assert made["input"] is not None
