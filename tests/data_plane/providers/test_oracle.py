"""What is peculiar to Oracle's Generative AI: two formats, addresses, and signatures."""

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from data_plane.providers.oracle import PROVIDER
from shared.addresses import fill_address
from shared.errors import BadRequest
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply

CHAT = PROVIDER.operations["chat"]
PLACE = {"oracle_compartment_id": "c"}
BODY = {"messages": [{"role": "user", "content": "hi"}]}
PEM = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_an_account_lives_in_its_region(facts):
    base = fill_address(PROVIDER.base_url, {"oracle_region": "us-chicago-1"})
    urls = [PROVIDER.operations[name].url_for(base, facts()) for name in ("chat", "embed", "rerank")]
    root = "https://inference.generativeai.us-chicago-1.oci.oraclecloud.com/20231130/actions"
    assert urls == [f"{root}/chat", f"{root}/embedText", f"{root}/rerankText"]


def test_the_version_of_the_api_may_be_another(facts):
    assert CHAT.path_for(facts(settings={"oracle_api_version": "20300101"})) == "/20300101/actions/chat"
    with pytest.raises(BadRequest) as refusal:
        CHAT.path_for(facts(settings={"oracle_api_version": "../x"}))
    assert refusal.value.path == "oracle_api_version"


@pytest.mark.parametrize(("model", "own", "told"), [
    ("meta.llama", {}, "GENERIC"), ("cohere.command-r", {}, "COHERE"), ("cohere.command-r", {"apiFormat": "GENERIC"}, "GENERIC"),
    ("ocid1.generativeaiendpoint.x", {"apiFormat": "COHERE"}, "COHERE"),
])  # fmt: skip
def test_a_model_is_asked_in_its_format(facts, model, own, told):
    assert CHAT.encode({**BODY, **own}, facts(model, settings=PLACE))["chatRequest"]["apiFormat"] == told


@pytest.mark.parametrize("wanted", ["COHEREV2", 5, ["GENERIC"]])
def test_a_format_that_is_not_translated_is_refused(facts, wanted):
    with pytest.raises(BadRequest) as refusal:
        CHAT.encode({**BODY, "apiFormat": wanted}, facts(settings=PLACE))
    assert refusal.value.path == "apiFormat"


async def call(tmp_path, reply, **body):
    async with FakeProvider([reply]) as fake, gateway(tmp_path) as gw:
        headers = {
            "x-portkey-provider": "oracle", "x-portkey-custom-host": fake.origin, "x-portkey-oracle-region": "us-chicago-1",
            "x-portkey-oracle-tenancy": "ocid1.tenancy.oc1..t", "x-portkey-oracle-user": "ocid1.user.oc1..u",
            "x-portkey-oracle-fingerprint": "20:3b", "x-portkey-oracle-private-key": PEM.replace("\n", "\\n"),
        }  # fmt: skip
        status, answered, _ = await gw.send({"model": "meta.llama", **BODY, **body}, headers)
        return status, answered, fake.seen[0], gw.recorded.last


async def test_a_signed_call_goes_through(tmp_path):
    told = {"modelId": "meta.llama", "chatResponse": {"choices": [{"message": {"content": [{"text": "ho"}]}, "finishReason": "stop"}],
                                                      "usage": {"promptTokens": 3, "completionTokens": 2}}}  # fmt: skip
    status, answered, seen, record = await call(tmp_path, Reply(json=told))
    assert (status, orjson.loads(answered)["choices"][0]["message"]["content"]) == (200, "ho")
    assert seen.headers["authorization"].startswith(
        'Signature version="1",keyId="ocid1.tenancy.oc1..t/ocid1.user.oc1..u/20:3b",algorithm="rsa-sha256",'
    )
    assert (seen.json["compartmentId"], record.tok_in, record.tok_out) == ("ocid1.tenancy.oc1..t", 3, 2)


async def test_a_stream_reaches_the_caller_as_openais(tmp_path):
    events = [
        {"index": 0, "message": {"role": "ASSISTANT", "content": [{"type": "TEXT", "text": "ho"}]}}, {"index": 0, "finishReason": "stop"},
        {"usage": {"promptTokens": 3, "completionTokens": 2}},
    ]  # fmt: skip
    _, answered, _, record = await call(tmp_path, Reply(sse=events), stream=True)
    assert (answered.count(b'"content":"ho"'), answered.endswith(b"data: [DONE]\n\n")) == (1, True)
    assert (record.tok_in, record.tok_out) == (3, 2)


async def test_an_error_keeps_its_status_and_words(tmp_path):
    reply = Reply(404, json={"code": "NotAuthorizedOrNotFound", "message": "Authorization failed"})
    status, answered, _, _ = await call(tmp_path, reply)
    error = orjson.loads(answered)["error"]
    assert (status, error["message"], error["code"]) == (
        404,
        "oracle error: Authorization failed",
        "NotAuthorizedOrNotFound",
    )
