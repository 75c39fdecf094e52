"""What is peculiar to Hugging Face: a router or an endpoint of one's own, and models that are still loading."""

import orjson
import pytest

from data_plane.core.types import CallFacts
from data_plane.providers.registry import load_providers
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply

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


# through a gateway


async def call(tmp_path, reply, body, path, **headers):
    """Make a call with a key of the caller's own; return (status, answer, what was asked, record)."""
    async with FakeProvider([reply]) as fake, gateway(tmp_path) as gw:
        said = {"x-portkey-provider": "huggingface", "authorization": "Bearer hf-key", **headers}
        said["x-portkey-custom-host"] = f"{fake.origin}/v1"
        status, answered, _ = await gw.send(body, said, path=path)
        return status, orjson.loads(answered), fake.seen[0], gw.recorded.last


async def test_an_array_of_vectors_reaches_the_caller_as_a_list(tmp_path):
    body = {"model": "org/m", "input": ["a", "b"], "encoding_format": "base64"}
    status, answered, seen, record = await call(
        tmp_path, Reply(json=[[0.5], [1.0]]), body, "/v1/embeddings", **{"x-wait-for-model": "true"}
    )
    assert (status, seen.path, seen.json) == (
        200, "/hf-inference/models/org/m/pipeline/feature-extraction", {"inputs": ["a", "b"]},
    )  # fmt: skip
    assert seen.headers["x-wait-for-model"] == "true"
    assert [row["embedding"] for row in answered["data"]] == ["AAAAPw==", "AACAPw=="]
    assert (record.tok_in > 0, record.usage_source) == (True, "estimated")


async def test_an_array_of_something_else_is_a_fault_of_the_provider(tmp_path):
    body = {"model": "org/m", "input": "a"}
    status, answered, _, _ = await call(tmp_path, Reply(json=[["x"]]), body, "/v1/embeddings")
    assert (status, answered["error"]["code"]) == (502, "upstream_invalid")


async def test_the_tokens_of_a_forwarded_chat_are_counted_beside_the_version(tmp_path):
    answer = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    body = {"model": "org/m", "messages": []}
    _, _, seen, record = await call(tmp_path, Reply(json=answer), body, "/v1/proxy/chat/completions")
    assert (seen.path, record.tok_in, record.tok_out) == ("/v1/chat/completions", 3, 2)
