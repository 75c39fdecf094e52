"""What is peculiar to SageMaker: endpoints in the path, settings as headers, signatures, a stream inside a stream."""

import datetime as dt

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import orjson
import pytest

from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers.sagemaker import PROVIDER
from shared.addresses import fill_address
from shared.errors import BadRequest
from shared.redact import Secret
from tests.data_plane.gateway_kit import gateway
from tests.fakes import aws
from tests.fakes.provider import FakeProvider, Reply

CHAT = PROVIDER.operations["chat"]
MESSAGES = [{"role": "user", "content": "hé"}]


def call(model="my-endpoint", *, stream=False, **settings):
    return CallFacts(model, stream, True, {}, settings)


def test_an_account_lives_in_its_region():
    base = fill_address(PROVIDER.base_url, {"aws_region": "eu-west-1"})
    assert base == "https://runtime.sagemaker.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("name", ["chat", "complete", "embed"])
def test_the_endpoint_stands_in_the_path_and_cannot_leave_its_place(name):
    operation = PROVIDER.operations[name]
    assert operation.path_for(call("a/..?b")) == "/endpoints/a%2F..%3Fb/invocations"
    assert operation.path_for(call(stream=True)) == "/endpoints/my-endpoint/invocations-response-stream"
    with pytest.raises(BadRequest):
        operation.path_for(call(".."))


def test_a_container_is_told_of_a_model_only_when_it_is_named():
    body = {"model": "@s/my-endpoint", "messages": MESSAGES, "top_k": 5}
    assert CHAT.encode(body, call()) == {"messages": MESSAGES, "top_k": 5}
    named = CHAT.encode(body, call(amzn_sagemaker_model_name="org/llm", stream=True))
    assert (named["model"], named["stream_options"]) == ("org/llm", {"include_usage": True})


def test_settings_are_headers():
    settings = {
        "amzn_sagemaker_custom_attributes": "c", "amzn_sagemaker_target_model": "t", "amzn_sagemaker_target_variant": "v",
        "amzn_sagemaker_target_container_hostname": "h", "amzn_sagemaker_inference_id": "i",
        "amzn_sagemaker_enable_explanations": "e", "amzn_sagemaker_inference_component": "k",
        "amzn_sagemaker_session_id": "s", "amzn_sagemaker_model_name": "no header",
    }  # fmt: skip
    assert PROVIDER.headers(call(**settings)) == {
        "x-amzn-sagemaker-custom-attributes": "c", "x-amzn-sagemaker-target-model": "t",
        "x-amzn-sagemaker-target-variant": "v", "x-amzn-sagemaker-target-container-hostname": "h",
        "x-amzn-sagemaker-inference-id": "i", "x-amzn-sagemaker-enable-explanations": "e",
        "x-amzn-sagemaker-inference-component": "k", "x-amzn-sagemaker-session-id": "s",
    }  # fmt: skip


def test_without_an_access_key_nothing_is_sent():
    request = UpstreamRequest("https://h.example/endpoints/e/invocations", {}, b"{}", False, None)
    with pytest.raises(BadRequest) as refusal:
        PROVIDER.sign(request, Secret("dummy"), call(aws_region="eu-west-1"))
    assert refusal.value.path == "aws_access_key_id"


def test_an_identity_is_for_the_service_only():
    ask = PROVIDER.token(None, call(aws_auth_type="serviceRole", aws_region="eu-west-1"))
    assert ask.hosts.fullmatch("runtime.sagemaker.eu-west-1.amazonaws.com")
    assert not ask.hosts.fullmatch("runtime-sagemaker.evil.example")
    assert PROVIDER.token(None, call()) is None


CHUNKS = [
    {"model": "llm", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]},
    {"model": "llm", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
]
SSE = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in CHUNKS)


async def through(tmp_path, reply, **body):
    async with FakeProvider([reply]) as fake, gateway(tmp_path) as gw:
        headers = {
            "x-portkey-provider": "sagemaker", "x-portkey-custom-host": fake.origin, "x-portkey-aws-region": "eu-west-1",
            "x-portkey-aws-access-key-id": "AKID", "x-portkey-aws-secret-access-key": "s3cret",
            "x-portkey-amzn-sagemaker-inference-component": "comp-1",
        }  # fmt: skip
        status, answered, _ = await gw.send({"model": "my-endpoint", "messages": MESSAGES, **body}, headers)
        return status, answered, fake.seen[0], fake.origin, gw.recorded.last


async def test_what_is_sent_has_the_signature_that_sagemaker_computes(tmp_path, monkeypatch):
    _, _, seen, origin, _ = await through(tmp_path, Reply(json={"choices": []}))
    stamp = dt.datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: stamp.replace(tzinfo=None))
    again = botocore.awsrequest.AWSRequest(
        method=seen.method, url=origin + seen.target, data=seen.body,
        headers={"content-type": seen.headers["content-type"]},
    )  # fmt: skip
    keys = botocore.credentials.Credentials("AKID", "s3cret")
    botocore.auth.SigV4Auth(keys, "sagemaker", "eu-west-1").add_auth(again)
    assert seen.headers["authorization"] == again.headers["Authorization"]
    assert seen.headers["x-amzn-sagemaker-inference-component"] == "comp-1"


async def test_a_stream_inside_a_stream_reaches_the_caller_as_openais(tmp_path):
    content = aws.event("PayloadPart", SSE[:30]) + aws.event("PayloadPart", SSE[30:])
    reply = Reply(body=content, headers={"content-type": "application/vnd.amazon.eventstream"})
    status, answered, _, _, record = await through(tmp_path, reply, stream=True)
    assert (status, answered.count(b'"content":"hi"'), answered.endswith(b"data: [DONE]\n\n")) == (200, 1, True)
    assert (record.tok_in, record.tok_out, record.model_served) == (3, 2, "llm")


async def test_an_exception_inside_a_stream_is_told_behind_what_came_before(tmp_path):
    failed = aws.event("ModelStreamError", {"Message": "too slow"}, kind="exception")
    content = aws.event("PayloadPart", SSE[: SSE.index(b"\n\n") + 2]) + failed
    reply = Reply(body=content, headers={"content-type": "application/vnd.amazon.eventstream"})
    _, answered, _, _, _ = await through(tmp_path, reply, stream=True)
    assert b"[DONE]" not in answered
    assert b"sagemaker error: too slow" in answered.rsplit(b"data: ", 1)[1]


async def test_an_error_of_the_container_keeps_its_sentence_and_hides_the_account(tmp_path):
    told = {
        "Message": "Received client error (400) from primary ... in account 123456789012",
        "OriginalMessage": '{"error":"bad"}',
    }
    status, answered, _, _, _ = await through(tmp_path, Reply(424, json=told))
    assert (status, orjson.loads(answered)["error"]["message"]) == (424, "sagemaker error: bad")
    assert b"123456789012" not in answered
