import pytest

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._gemini_like import gemini_chat, method, step_of
from shared.errors import BadRequest


@pytest.mark.parametrize(("stream", "told"), [(False, ":generateContent"), (True, ":streamGenerateContent?alt=sse")])
def test_a_stream_is_another_method_and_comes_as_events(facts, stream, told):
    assert method(facts(stream=stream)) == told


@pytest.mark.parametrize("name", ["gemini-2.5-pro", "claude-sonnet-4-5@20250929", "a", "A_1"])
def test_a_plain_name_is_a_step_of_a_path(name):
    assert step_of(name) == name


@pytest.mark.parametrize(
    "name", ["", "..", ".", "a/b", "a?x=1", "a#b", "a:predict", "-a", "a b", "a%2f", "ä", "a\n", "x" * 300]
)
def test_a_name_cannot_lead_elsewhere(name):
    with pytest.raises(BadRequest) as raised:
        step_of(name)
    assert raised.value.path == "model"


def test_the_operation_translates_both_ways_and_names_its_provider(facts):
    operation = gemini_chat("somewhere", lambda known: f"/{known.model}")
    assert operation.path_for(facts("g")) == "/g"
    assert operation.encode({"messages": [{"role": "user", "content": "q"}]}, facts("g"))["contents"]
    answer = {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 1}}
    decoded = operation.decode(answer, facts("g"))
    assert (decoded["provider"], operation.usage(decoded)) == ("somewhere", Usage(1, 0))
    assert operation.decoder(CallFacts("g", True, True, {}, {})).finished is False
    assert (
        operation.fault(429, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "m"}}).type == "RESOURCE_EXHAUSTED"
    )
    assert operation.passes_through is False
