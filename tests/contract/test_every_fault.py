"""What a provider can do wrong, in every tongue: the attempt has failed, another target answers, and no address is told."""

import orjson
import pytest

from data_plane.providers.registry import load_providers
from tests.data_plane.gateway_kit import CHAT, gateway
from tests.fakes import aws
from tests.fakes.provider import KEYS, FakeProvider, Reply

PAGE = b"<html><head><title>502</title></head><body>upstream 10.1.2.3:8080 (internal.lan) failed</body></html>"
SETTINGS = {
    "bedrock": {"aws_region": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "s"},
    "oracle": {"oracle_compartment_id": "ocid1.compartment.oc1..c", "oracle_region": "eu-frankfurt-1"},
    "sagemaker": {"aws_region": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "s"},
    "vertex-ai": {"vertex_project_id": "p", "vertex_region": "europe-west1"}, "azure-openai": {"azure_resource_name": "r"},
    "workers-ai": {"workers_ai_account_id": "a"},
}  # fmt: skip
#: Parameters that a provider cannot do without.
NEEDED = {"predibase": {"user": "tenant"}}
MODELS = {"anthropic": "claude-x", "bedrock": "amazon.nova-pro-v1:0", "vertex-ai": "gemini-2.5-pro"}


def distinct():
    """Return one provider for each way of speaking a chat."""
    found = {}
    for provider in load_providers().values():
        chat = provider.operations.get("chat")
        if chat is not None and (provider.base_url or provider.address_setting):
            tongue = getattr(chat.decode, "func", chat.decode), getattr(chat.encode, "func", chat.encode), chat.framing
            found.setdefault(tongue, provider.id)
    return sorted(found.values())


TONGUES = distinct()
#: What comes in the place of a whole answer.
ANSWERS = {
    "malformed": Reply(body=b'{"choices": [', headers={"content-type": "application/json"}),
    "empty": Reply(body=b"", headers={"content-type": "application/json"}),
    "a page": Reply(502, body=PAGE, headers={"content-type": "text/html"}),
    "a page that says it is right": Reply(body=PAGE, headers={"content-type": "text/html"}),
    "an array": Reply(json=[1, 2]), "another object": Reply(json={"unexpected": True}), "null": Reply(json=None, body=b"null"),
    "an error": Reply(500, json={"error": {"message": "we are down", "code": 500}}),
    "an error that says it is right": Reply(json={"error": {"message": "we are down"}}),
    "broken off": Reply(json={"choices": []}, break_after=0),
}  # fmt: skip
#: What comes in the place of a stream, before anything of the answer.
STREAMS = {
    "a whole answer": Reply(json={"unexpected": True}), "a page": Reply(body=PAGE, headers={"content-type": "text/html"}),
    "nothing": Reply(sse=[]), "broken off": Reply(sse=[], break_after=0), "no events": Reply(body=b"\xff\xfe\x00", headers={"content-type": "text/event-stream"}),
    "an error": Reply(sse=[("error", {"error": {"message": "we are down"}, "type": "error", "message": "we are down"})]),
    "an exception": Reply(
        body=aws.event("internalServerException", {"message": "we are down"}, kind="exception"), headers={"content-type": "application/vnd.amazon.eventstream"}
    ),
}  # fmt: skip


def target(provider, fake):
    made = {"provider": provider, "custom_host": fake.origin, "api_key": "key", **SETTINGS.get(provider, {})}
    return {**made, "override_params": {"model": MODELS.get(provider, "m"), **NEEDED.get(provider, {})}}


async def served(tmp_path, provider, reply, *, spare, stream):
    """Ask a provider that answers with `reply`, and then the spare one if there is one; return (status, body, record)."""
    async with FakeProvider([reply]) as fake, FakeProvider() as second, gateway(tmp_path) as gw:
        targets = [target(provider, fake)]
        if spare:
            targets.append({"provider": "openai", "custom_host": second.base_url, "api_key": KEYS["openai"]})
        config = {"strategy": {"mode": "fallback"}, "targets": targets}
        headers = {"x-portkey-config": orjson.dumps(config).decode()}
        body = {**CHAT, "model": "gpt-4o", "stream": stream}
        status, answered, _ = await gw.send(body, headers)
        return status, answered, gw.recorded.last, len(fake.seen)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", TONGUES)
async def test_another_target_answers_whatever_the_first_one_does(tmp_path, provider, stream):
    for name, reply in (STREAMS if stream else ANSWERS).items():
        status, answered, record, asked = await served(tmp_path, provider, reply, spare=True, stream=stream)
        assert (status, asked, record.fallback_n, [bool(attempt.error) for attempt in record.attempts]) == (
            200,
            1,
            1,
            [True, False],
        ), (name, answered)
        assert record.provider == "openai"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", TONGUES)
async def test_a_fault_has_the_shape_of_every_error_and_tells_nothing_of_the_network(tmp_path, provider, stream):
    for name, reply in (STREAMS if stream else ANSWERS).items():
        status, answered, record, _ = await served(tmp_path, provider, reply, spare=False, stream=stream)
        told = orjson.loads(answered)
        assert status >= 500, name
        assert isinstance(told["error"]["message"], str), name
        assert not any(
            word in answered for word in (b"127.0.0.1", b"10.1.2.3", b"internal.lan", b"<html", b"Traceback")
        ), (name, answered)
        assert (record.status, record.error_type is not None, record.cost_nano) == (status, True, None), name


def test_every_tongue_is_among_them():
    assert {"anthropic", "bedrock", "cohere", "google", "vertex-ai"} <= set(TONGUES)
