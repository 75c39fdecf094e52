"""What is peculiar to Hugging Face: a router or an endpoint of one's own, and models that are still loading."""

import pytest

from data_plane.core.types import CallFacts
from data_plane.providers.registry import load_providers

PROVIDER = load_providers()["huggingface"]
FACTS = CallFacts("org/m", False, True, {}, {})
OWN = CallFacts("tgi", False, True, {}, {"huggingface_base_url": "https://x.endpoints.huggingface.cloud"})


@pytest.mark.parametrize(("name", "path"), [
    ("chat", "/v1/chat/completions"), ("complete", "/v1/completions"), ("models", "/v1/models"),
    ("embed", "/hf-inference/models/org/m/pipeline/feature-extraction"),
])  # fmt: skip
def test_the_router_has_openais_words_and_pipelines_beside(name, path):
    assert PROVIDER.base_url == "https://router.huggingface.co/v1"
    assert PROVIDER.operations[name].url_for(PROVIDER.base_url, FACTS) == f"https://router.huggingface.co{path}"


@pytest.mark.parametrize("end", ["", "/v1"])
@pytest.mark.parametrize(("name", "path"), [("chat", "/v1/chat/completions"), ("embed", "/v1/embeddings")])
def test_an_endpoint_of_ones_own_is_named_by_a_setting_with_or_without_the_version(end, name, path):
    assert PROVIDER.address_setting == "huggingface_base_url"
    base = "https://x.endpoints.huggingface.cloud"
    assert PROVIDER.operations[name].url_for(base + end, OWN) == base + path


def test_a_caller_may_ask_to_wait_for_a_model():
    assert "x-wait-for-model" in PROVIDER.caller_headers


@pytest.mark.parametrize(("body", "message", "kind"), [
    ({"error": "Model m is currently loading", "estimated_time": 20.4}, "Model m is currently loading (estimated time: 20 s)", None),
    ({"error": "Input validation error", "error_type": "validation"}, "Input validation error", "validation"),
    ({"error": {"message": "no", "type": "invalid_request_error"}}, "no", "invalid_request_error"),
    ({"error": ["a", "b"]}, "a; b", None), ({"error": "x", "estimated_time": True, "error_type": 5}, "x", None),
    (None, "status 503, without an explanation", None),
])  # fmt: skip
@pytest.mark.parametrize("name", ["chat", "embed"])
def test_an_error_is_a_sentence_with_its_type(name, body, message, kind):
    fault = PROVIDER.operations[name].fault(503, body)
    assert (fault.message, fault.type) == (message, kind)


def test_vectors_come_without_an_object_around_them():
    made = PROVIDER.operations["embed"].decode_binary(b"[[0.5]]", "application/json", FACTS)
    assert made["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5]}]
