import pytest

from data_plane.core.types import CallFacts
from data_plane.pipeline.target import operation_of
from data_plane.providers.registry import load_providers


@pytest.mark.parametrize(("provider", "model", "path", "holds"), [
    ("google", "gemini-2.5-flash", "/models/gemini-2.5-flash:countTokens", "generateContentRequest"),
    ("vertex-ai", "gemini-2.5-pro", "/publishers/google/models/gemini-2.5-pro:countTokens", None),
])  # fmt: skip
def test_gemini_counts_what_it_would_be_asked(provider, model, path, holds):
    operation = operation_of(load_providers()[provider], "count_tokens", model)
    facts = CallFacts(model, False, True, {}, {})
    sent = operation.encode(
        {"max_tokens": 9, "system": "be terse", "messages": [{"role": "user", "content": "hi"}]}, facts
    )
    asked = sent if holds is None else sent[holds]
    assert operation.path_for(facts) == path
    assert (asked["contents"][0]["parts"], asked["systemInstruction"]["parts"]) == (
        [{"text": "hi"}],
        [{"text": "be terse"}],
    )
    assert asked.get("model") == (None if holds is None else "models/gemini-2.5-flash")
    assert operation.decode({"totalTokens": 5}, facts) == {"input_tokens": 5}


def test_what_no_gemini_is_is_estimated():
    assert (
        operation_of(load_providers()["vertex-ai"], "count_tokens", "meta/llama-3.3-70b-instruct-maas").local
        is not None
    )
