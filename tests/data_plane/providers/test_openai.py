"""What is peculiar to OpenAI: its organisation and project headers."""

import orjson

from data_plane.providers.openai import PROVIDER
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply


def test_organisation_and_project_of_the_credential_become_headers(facts):
    settings = {"openai_organization": "org-1", "openai_project": "proj-1", "other": "x"}
    assert PROVIDER.headers(facts(settings=settings)) == {"openai-organization": "org-1", "openai-project": "proj-1"}


def test_a_credential_without_them_makes_no_headers(facts):
    assert PROVIDER.headers(facts(settings={"openai_project": ""})) == {}


def test_callers_can_name_organisation_project_and_beta():
    assert PROVIDER.caller_headers == ("openai-organization", "openai-project", "openai-beta")


def test_only_the_key_is_secret_and_required():
    assert [(field.name, field.secret, field.required) for field in PROVIDER.credential] == [
        ("key", True, True),
        ("openai_organization", False, False),
        ("openai_project", False, False),
    ]


def test_a_recorded_answer_with_tools_is_decoded_unchanged(facts):
    recorded = {
        "id": "chatcmpl-9xyz", "object": "chat.completion", "created": 1723000000, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{
            "index": 0, "logprobs": None, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "refusal": None, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
            ]},
        }],
        "usage": {
            "prompt_tokens": 82, "completion_tokens": 17, "total_tokens": 99,
            "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default", "system_fingerprint": "fp_1",
    }  # fmt: skip
    operation = PROVIDER.operations["chat"]
    decoded = operation.decode(dict(recorded), facts())
    assert decoded == {**recorded, "provider": "openai"}
    assert (operation.usage(decoded).input, operation.usage(decoded).cache_read) == (82, 64)


class ChatsOnly:
    """A host that speaks OpenAI's chat and has nothing else, and remembers one response all the same."""

    def __call__(self, seen):
        if seen.path == "/v1/chat/completions":
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            said = {"index": 0, "finish_reason": "stop"}
            if seen.json.get("stream"):
                return Reply(sse=[{**chunk, "choices": [{**said, "delta": {"content": "ho"}}]}, "[DONE]"])
            message = {"role": "assistant", "content": "ho"}
            return Reply(json={**chunk, "object": "chat.completion", "choices": [{**said, "message": message}]})
        if seen.method == "GET" and seen.path == "/v1/responses/resp_1":
            return Reply(json={"id": "resp_1"})
        return Reply(404, json={"detail": "Not Found"})


async def test_a_host_of_ones_own_answers_responses_by_its_chat_and_keeps_its_own(tmp_path):
    async with FakeProvider(ChatsOnly()) as fake, gateway(tmp_path) as gw:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{fake.origin}/v1"}
        body = {"model": "m", "input": "hi"}
        status, answer, _ = await gw.send(body, headers, path="/v1/responses")
        assert (status, orjson.loads(answer)["output"][0]["content"][0]["text"]) == (200, "ho")
        status, stream, _ = await gw.send({**body, "stream": True}, headers, path="/v1/responses")
        assert (status, b"event: response.completed" in stream) == (200, True)
        status, _, _ = await gw.send({**body, "previous_response_id": "resp_1"}, headers, path="/v1/responses")
        told, kept, _ = await gw.get("/v1/responses/resp_1", headers)
        assert (status, told, orjson.loads(kept)) == (404, 200, {"id": "resp_1"})
        assert [seen.path for seen in fake.seen] == [
            "/v1/chat/completions", "/v1/chat/completions", "/v1/responses", "/v1/responses/resp_1",
        ]  # fmt: skip
