import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._models import models
from data_plane.providers.registry import load_providers
from shared.errors import GatewayError, UpstreamInvalid

FACTS = CallFacts("", False, True, {}, {})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "id", "models", "name"]), inner, max_size=3),
)  # fmt: skip


def ids(answer):
    return [entry["id"] for entry in answer["data"]]


def test_a_list_is_told_in_openais_words():
    answer = {"data": [{"id": "m", "created": 5, "owned_by": "x", "extra": 1}, {"id": "n"}, "o", 7, {"id": ""}]}
    told = models("groq").decode(answer, FACTS)
    assert told["data"] == [
        {"id": "m", "object": "model", "created": 5, "owned_by": "x"}, {"id": "n", "object": "model", "created": 0, "owned_by": "groq"},
        {"id": "o", "object": "model", "created": 0, "owned_by": "groq"},
    ]  # fmt: skip


def test_a_list_may_be_the_whole_answer():
    operation = models("together-ai")
    assert ids(operation.decode_binary(b'[{"id":"a"},{"id":"b"}]', "application/json", FACTS)) == ["a", "b"]
    assert ids(operation.decode({"id": "a"}, FACTS)) == ["a"]
    with pytest.raises(UpstreamInvalid):
        operation.decode_binary(b"<html>", "text/html", FACTS)


def test_gemini_and_cohere_have_lists_of_their_own():
    google, cohere = (load_providers()[name].operations["models"] for name in ("google", "cohere"))
    assert ids(google.decode({"models": [{"name": "models/gemini-2.5-pro"}]}, FACTS)) == ["gemini-2.5-pro"]
    assert ids(cohere.decode({"models": [{"name": "command-a"}]}, FACTS)) == ["command-a"]
    assert google.path_for(FACTS).startswith("/models")


@given(value=JSON)
def test_any_answer_is_a_list_or_invalid(value):
    try:
        operation = models("x")
        told = (
            operation.decode(value, FACTS)
            if isinstance(value, dict)
            else operation.decode_binary(orjson.dumps(value), "", FACTS)
        )
        assert all(entry["id"] for entry in told["data"])
    except GatewayError:
        pass
