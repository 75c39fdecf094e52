"""Do OpenAI's chat requests become requests in Oracle's format for Cohere's models?"""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._oci_cohere import REFUSED, encode_cohere
from data_plane.providers._oci_request import LEFT_OUT
from shared.errors import BadRequest, Unsupported

PLACE = {"oracle_compartment_id": "c"}
ASKED = [{"role": "user", "content": "hi"}]


def encode(body, *, stream=False):
    return encode_cohere(body, CallFacts("cohere.command-r", stream, True, {}, PLACE), provider="oracle")


def test_the_last_question_is_the_message_and_the_rest_its_history():
    body = {"messages": [
        {"role": "system", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
    ]}  # fmt: skip
    before = orjson.dumps(body)
    assert encode(body) == {
        "compartmentId": "c", "servingMode": {"servingType": "ON_DEMAND", "modelId": "cohere.command-r"},
        "chatRequest": {
            "apiFormat": "COHERE", "message": "c", "preambleOverride": "be brief",
            "chatHistory": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}],
        },
    }  # fmt: skip
    assert orjson.dumps(body) == before


def test_parameters_have_their_own_names_and_what_is_unknown_passes():
    told = encode({
        "messages": ASKED, "max_completion_tokens": 5, "top_p": 0.5, "top_k": 3, "frequency_penalty": 1, "presence_penalty": 0,
        "stop": "a", "seed": 7, "temperature": 0, "documents": [{"text": "x"}], "response_format": {"type": "json_object"},
    }, stream=True)["chatRequest"]  # fmt: skip
    assert told == {
        "apiFormat": "COHERE", "message": "hi", "maxTokens": 5, "topP": 0.5, "topK": 3, "frequencyPenalty": 1, "presencePenalty": 0,
        "stopSequences": ["a"], "seed": 7, "temperature": 0, "documents": [{"text": "x"}], "responseFormat": {"type": "JSON_OBJECT"},
        "isStream": True, "streamOptions": {"isIncludeUsage": True},
    }  # fmt: skip


def test_a_schema_belongs_to_the_json_that_is_wanted():
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    assert encode({"messages": ASKED, "response_format": wanted})["chatRequest"]["responseFormat"] == {
        "type": "JSON_OBJECT", "schema": {"type": "object"},
    }  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_answer_is_refused(name):
    with pytest.raises(Unsupported) as refusal:
        encode({"messages": ASKED, name: [1]})
    assert refusal.value.path == name


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_would_not_is_left_out(name):
    assert encode({"messages": ASKED, name: [1]}) == encode({"messages": ASKED})


@pytest.mark.parametrize(("messages", "path"), [
    ([{"role": "system", "content": "a"}], "messages"), ([*ASKED, {"role": "assistant", "content": "b"}], "messages"),
    ([{"role": "user", "content": ""}], "messages"), ([*ASKED, {"role": "tool", "content": "b"}], "messages[1]"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "messages[0].content[0]"),
])  # fmt: skip
def test_a_conversation_that_cohere_cannot_have_is_refused(messages, path):
    with pytest.raises(BadRequest) as refusal:
        encode({"messages": messages})
    assert refusal.value.path == path


JSON = st.recursive(st.none() | st.integers(0, 3) | st.text(max_size=3), lambda i: st.lists(i, max_size=2)
                    | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), i), max_leaves=6)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["messages", "stop", "response_format", "tools", "top_k"]), JSON))
def test_whatever_is_asked_is_encoded_or_the_callers_fault(body):
    try:
        told = encode(body)
    except BadRequest as refusal:
        told = {"chatRequest": refusal.path}
    assert told["chatRequest"]
