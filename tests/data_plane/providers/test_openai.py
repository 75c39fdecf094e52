"""What is peculiar to OpenAI: its organisation and project headers."""

from data_plane.providers.openai import PROVIDER


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
