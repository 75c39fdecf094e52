"""Do OpenAI's chat requests become requests in Oracle's generic format?"""

import orjson
import pytest

from data_plane.providers._oci_request import LEFT_OUT, REFUSED, encode_generic, placed
from shared.errors import BadRequest, Unsupported

PLACE = {"oracle_compartment_id": "ocid1.compartment.oc1..c"}
ASKED = [{"role": "user", "content": "hi"}]
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def encode(facts):
    def make(body, **options):
        options = {"settings": PLACE, **options}
        return encode_generic(body, facts("meta.llama", **options), provider="oracle")

    return make


@pytest.fixture
def chat(encode):
    return lambda **body: encode({"messages": ASKED, **body})["chatRequest"]


def test_a_request_says_where_it_runs(encode):
    body = {"model": "x", "messages": ASKED}
    before = orjson.dumps(body)
    assert encode(body) == {
        "compartmentId": "ocid1.compartment.oc1..c",
        "servingMode": {"servingType": "ON_DEMAND", "modelId": "meta.llama"},
        "chatRequest": {"apiFormat": "GENERIC", "messages": [{"role": "USER", "content": [{"type": "TEXT", "text": "hi"}]}]},
    }  # fmt: skip
    assert orjson.dumps(body) == before


@pytest.mark.parametrize(("model", "mode", "serving"), [
    ("m", None, {"servingType": "ON_DEMAND", "modelId": "m"}), ("m", "DEDICATED", {"servingType": "DEDICATED", "endpointId": "m"}),
    ("ocid1.generativeaiendpoint.oc1..e", None, {"servingType": "DEDICATED", "endpointId": "ocid1.generativeaiendpoint.oc1..e"}),
    ("m", "ON_DEMAND", {"servingType": "ON_DEMAND", "modelId": "m"}),
])  # fmt: skip
def test_an_endpoint_of_ones_own_is_named_otherwise_than_a_model(facts, model, mode, serving):
    assert placed(facts(model, settings={**PLACE, "oracle_serving_mode": mode}), "oracle")["servingMode"] == serving


def test_a_tenancy_is_its_own_root_compartment(facts):
    assert (
        placed(facts(settings={"oracle_tenancy": "ocid1.tenancy.oc1..t"}), "oracle")["compartmentId"]
        == "ocid1.tenancy.oc1..t"
    )


@pytest.mark.parametrize(
    ("settings", "path"),
    [({}, "oracle_compartment_id"), ({**PLACE, "oracle_serving_mode": "X"}, "oracle_serving_mode")],
)
def test_an_account_that_is_not_whole_is_refused(facts, settings, path):
    with pytest.raises(BadRequest) as refusal:
        placed(facts(settings=settings), "oracle")
    assert refusal.value.path == path


def test_parameters_have_their_own_names_and_what_is_unknown_passes(chat):
    told = chat(
        n=2, max_tokens=5, max_completion_tokens=6, top_p=0.5, top_k=3, frequency_penalty=1, presence_penalty=1, logit_bias={"1": 2},
        parallel_tool_calls=False, temperature=0, seed=7, stop="a", reasoning_effort="high", verbosity="low", service_tier="auto",
        metadata={"a": "b"}, isEcho=True,
    )  # fmt: skip
    assert {name: value for name, value in told.items() if name not in {"apiFormat", "messages"}} == {
        "numGenerations": 2, "maxTokens": 5, "maxCompletionTokens": 6, "topP": 0.5, "topK": 3, "frequencyPenalty": 1,
        "presencePenalty": 1, "logitBias": {"1": 2}, "isParallelToolCalls": False, "temperature": 0, "seed": 7, "stop": ["a"],
        "reasoningEffort": "HIGH", "verbosity": "LOW", "serviceTier": "AUTO", "metadata": {"a": "b"}, "isEcho": True,
    }  # fmt: skip
    assert chat(reasoning_effort="none")["reasoningEffort"] == "NONE"


def test_a_stream_is_asked_to_count(encode):
    told = encode({"messages": ASKED, "stream": True, "stream_options": {"include_usage": False}}, stream=True)[
        "chatRequest"
    ]
    assert (told["isStream"], told["streamOptions"]) == (True, {"isIncludeUsage": True})


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_says_nothing_about_the_answer_is_left_out(chat, name):
    assert chat(**{name: {"x": 1}}) == chat()


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_answer_is_refused(chat, name):
    with pytest.raises(Unsupported) as refusal:
        chat(**{name: [1]})
    assert refusal.value.path == name


def test_a_whole_conversation_with_parallel_calls_is_translated(encode):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    messages = [
        {"role": "developer", "content": "be brief", "name": "boss"}, {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "b", "function": {"name": "f", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"}, {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
    ]  # fmt: skip
    assert encode({"messages": messages})["chatRequest"]["messages"] == [
        {"role": "SYSTEM", "content": [{"type": "TEXT", "text": "be brief"}], "name": "boss"},
        {"role": "USER", "content": [{"type": "TEXT", "text": "hi"}]},
        {"role": "ASSISTANT", "toolCalls": [
            {"type": "FUNCTION", "id": "a", "name": "f", "arguments": '{"x":1}'},
            {"type": "FUNCTION", "id": "b", "name": "f", "arguments": "{}"},
        ]},
        {"role": "TOOL", "content": [{"type": "TEXT", "text": "1"}], "toolCallId": "a"},
        {"role": "TOOL", "content": [{"type": "TEXT", "text": "2"}], "toolCallId": "b"},
    ]  # fmt: skip


@pytest.mark.parametrize(("part", "made"), [
    ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
     {"type": "IMAGE", "imageUrl": {"url": "data:image/png;base64,AA", "detail": "LOW"}}),
    ({"type": "image_url", "image_url": "https://x.example"}, {"type": "IMAGE", "imageUrl": {"url": "https://x.example"}}),
    ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, {"type": "AUDIO", "audioUrl": {"url": "data:audio/wav;base64,AA"}}),
    ({"type": "video_url", "video_url": {"url": "https://x.example"}}, {"type": "VIDEO", "videoUrl": {"url": "https://x.example"}}),
    ({"type": "file", "file": {"file_data": "AA"}}, {"type": "DOCUMENT", "documentUrl": {"url": "data:application/pdf;base64,AA"}}),
    ({"type": "file", "file": {"file_data": "data:text/csv,a"}}, {"type": "DOCUMENT", "documentUrl": {"url": "data:text/csv,a"}}),
])  # fmt: skip
def test_contents_of_other_kinds_are_translated(encode, part, made):
    told = encode({"messages": [{"role": "user", "content": [part]}]})
    assert told["chatRequest"]["messages"][0]["content"] == [made]


@pytest.mark.parametrize(("part", "path"), [
    ({"type": "odd"}, "messages[0].content[0].type"), ({}, "messages[0].content[0].type"), ({"type": "text"}, "messages[0].content[0].text"),
    ({"type": "file", "file": {"file_id": "f"}}, "messages[0].content[0].file"), ({"type": "input_audio"}, "messages[0].content[0].input_audio"),
])  # fmt: skip
def test_contents_that_cannot_be_sent_are_refused_with_their_place(encode, part, path):
    with pytest.raises(BadRequest) as refusal:
        encode({"messages": [{"role": "user", "content": [part]}]})
    assert refusal.value.path == path


@pytest.mark.parametrize(("choice", "made"), [
    ("auto", {"type": "AUTO"}), ("none", {"type": "NONE"}), ("required", {"type": "REQUIRED"}),
    ({"type": "function", "function": {"name": "f"}}, {"type": "FUNCTION", "name": "f"}),
])  # fmt: skip
def test_tools_are_declared_and_chosen(chat, choice, made):
    told = chat(tools=[TOOL], tool_choice=choice)
    assert told["tools"] == [
        {"type": "FUNCTION", "name": "f", "description": "d", "parameters": TOOL["function"]["parameters"]}
    ]
    assert told["toolChoice"] == made
    assert "toolChoice" not in chat(tools=[TOOL])


@pytest.mark.parametrize(("wanted", "made"), [
    ({"type": "text"}, {"type": "TEXT"}), ({"type": "json_object"}, {"type": "JSON_OBJECT"}),
    ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}},
     {"type": "JSON_SCHEMA", "jsonSchema": {"name": "n", "schema": {"type": "object"}, "isStrict": True, "description": "d"}}),
])  # fmt: skip
def test_formats_are_translated(chat, wanted, made):
    assert chat(response_format=wanted)["responseFormat"] == made


@pytest.mark.parametrize(
    ("body", "path"), [({"verbosity": 1}, "verbosity"), ({"reasoning_effort": "odd"}, "reasoning_effort")]
)
def test_words_must_be_words(chat, body, path):
    with pytest.raises(BadRequest) as refusal:
        chat(**body)
    assert refusal.value.path == path
