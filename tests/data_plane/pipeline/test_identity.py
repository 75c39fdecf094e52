"""Who may call by the gateway's own identity, and where to: through a whole gateway, against strict clouds."""

import base64
import logging
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import orjson
import pytest

from data_plane.core.identity import AwsIdentity, IdentityAsk, OwnIdentity
from data_plane.core.types import CallFacts, Credential
from data_plane.pipeline.identity import IdentityForbidden, check_identity
from data_plane.pipeline.target import Destination
from data_plane.providers._aws_account import service_hosts
from data_plane.providers.registry import load_providers
from shared.crypto.sealing import SealedTo, seal
from shared.redact import Secret
from shared.schema.rows import ModelSettingsRow, SealedPlaintext, SecretRow
from tests.data_plane import kit
from tests.data_plane.gateway_kit import gateway
from tests.fakes.clouds import BASE, EXTERNAL_ID, OWN, ROLE, FakeCloud
from tests.fakes.provider import FakeProvider

SERVICE = {"aws_auth_type": "serviceRole", "aws_region": "eu-west-1"}
ASSUMED = {**SERVICE, "aws_auth_type": "assumedRole", "aws_role_arn": ROLE, "aws_external_id": EXTERNAL_ID}
BODY = {"model": "@cloud/amazon.nova-pro-v1:0", "messages": [{"role": "user", "content": "hé"}]}
SENTINELS = (OWN[1], BASE[1], "LENT1/secret", "LENT1-session", "google-token", "azure-token")


def secret_of(settings, hosts=("127.0.0.1",), key=""):
    plain = msgspec.json.encode(SealedPlaintext(key, hosts, settings))
    sealed = base64.b64encode(seal(kit.PUBLIC, plain, SealedTo(kit.ORG, kit.GROUP, "secret-cloud", 1))).decode()
    return SecretRow("secret-cloud", kit.ORG, 1, kit.KID, sealed)


@asynccontextmanager
async def playing(tmp_path, settings, *, provider="bedrock", secrets=None, own="saved", path="", **changes):
    """Yield (gateway, cloud, fake): an account of `settings` is saved as `@cloud`, at the fake's address."""
    cloud = FakeCloud()
    async with FakeProvider(cloud) as fake:
        variables = {
            "AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1], "AWS_ENDPOINT_URL_STS": fake.origin,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": fake.origin, "GCE_METADATA_HOST": f"127.0.0.1:{fake.port}",
        }  # fmt: skip
        sealed = [] if secrets is None else [secret_of(secrets)]
        row = kit.virtual_key(
            "cloud", provider=provider, settings=settings, custom_host=fake.origin + path,
            secret=sealed[0].id if sealed else None, **changes,
        )  # fmt: skip
        sections = {"virtual_keys": [row], "secrets": sealed}
        async with gateway(tmp_path, variables=variables, own_identity=own, **sections) as gw:
            yield gw, cloud, fake


def refusal(answered):
    error = orjson.loads(answered)["error"]
    return error["code"], error["param"]


# saved accounts


async def test_a_saved_account_calls_by_the_gateways_own_identity(tmp_path):
    async with playing(tmp_path, SERVICE) as (gw, cloud, fake):
        status, answered, _ = await gw.send(BODY)
        assert (status, cloud.refusals) == (200, [])
        assert b'"content":"hi"' in answered
        assert f"Credential={OWN[0]}/" in fake.seen[-1].headers["authorization"]


@pytest.mark.parametrize("secrets", [None, {"aws_secret_access_key": BASE[1]}])
async def test_a_saved_account_takes_on_a_role_with_its_own_key_or_with_the_gateways(tmp_path, secrets):
    settings = ASSUMED if secrets is None else {**ASSUMED, "aws_access_key_id": BASE[0]}
    async with playing(tmp_path, settings, secrets=secrets) as (gw, cloud, fake):
        assert [(await gw.send(BODY))[0] for _ in range(3)] == [200, 200, 200]
        assert (cloud.refusals, cloud.lent) == ([], 1)
        assert f"Credential={OWN[0] if secrets is None else BASE[0]}/" in fake.seen[0].headers["authorization"]
        assert "Credential=ASIALENT1/" in fake.seen[-1].headers["authorization"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_role_that_is_refused_is_told_without_detail(tmp_path, stream):
    async with playing(tmp_path, {**ASSUMED, "aws_external_id": "wrong"}) as (gw, cloud, _):
        status, answered, _ = await gw.send({**BODY, "stream": stream})
        assert (status, refusal(answered)) == (502, ("upstream_identity_refused", None))
        assert cloud.refusals == ["another role"]
        assert not any(word in answered for word in (b"arn:", b"wrong", b"127.0.0.1", b"secret story"))


async def test_what_an_identity_is_made_of_is_in_no_answer_record_or_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with playing(tmp_path, ASSUMED) as (gw, cloud, _):
        _, answered, headers = await gw.send(BODY)
        assert cloud.refusals == []
        told = answered.decode() + str(headers) + str(gw.recorded.items) + caplog.text
    assert [word for word in SENTINELS if word in told] == []


@pytest.mark.parametrize(("provider", "settings", "path", "model"), [
    ("azure-openai", {"azure_auth_mode": "managed", "azure_resource_name": "r"}, "/openai", "gpt-4o"),
    ("azure-ai", {"azure_auth_mode": "managed"}, "/models", "gpt-4o"),
    ("vertex-ai", {"vertex_auth_type": "workload", "vertex_project_id": "p", "vertex_region": "us-central1"}, "/v1/projects/p", "meta/llama"),
])  # fmt: skip
async def test_saved_accounts_of_azure_and_google_call_by_the_machines_identity(
    tmp_path, provider, settings, path, model
):
    async with playing(tmp_path, settings, provider=provider, path=path) as (gw, cloud, fake):
        assert [(await gw.send({**BODY, "model": f"@cloud/{model}"}))[0] for _ in range(2)] == [200, 200]
        assert (cloud.refusals, len(fake.seen)) == ([], 3)


async def test_a_call_that_is_forwarded_as_it_came_is_signed_too(tmp_path):
    async with playing(tmp_path, SERVICE) as (gw, cloud, fake):
        headers = {"x-portkey-virtual-key": "cloud"}
        status, _, _ = await gw.send({"a": 1}, headers, path="/v1/proxy/model/m/converse")
        assert (status, cloud.refusals, fake.seen[-1].path) == (200, [], "/model/m/converse")


# who may not


OF_CALLER = {
    "x-portkey-provider": "bedrock",
    "x-portkey-aws-region": "eu-west-1",
    "x-portkey-aws-auth-type": "serviceRole",
}
PLAIN = {**BODY, "model": "amazon.nova-pro-v1:0"}


@pytest.mark.parametrize(("own", "status"), [("off", 403), ("saved", 403), ("any", 200)])
async def test_a_caller_may_name_the_gateways_own_identity_only_where_the_operator_lets_any(tmp_path, own, status):
    async with playing(tmp_path, {}, own=own) as (gw, _, fake):
        got, answered, _ = await gw.send(PLAIN, {**OF_CALLER, "x-portkey-custom-host": fake.origin})
        assert got == status
        if status == 403:
            assert (refusal(answered), fake.seen) == (("identity_forbidden", "aws_auth_type"), [])


@pytest.mark.parametrize(("settings", "path"), [
    ({"provider": "bedrock", **SERVICE}, "aws_auth_type"), ({"provider": "bedrock", **ASSUMED}, "aws_auth_type"),
    ({"provider": "bedrock", **ASSUMED, "aws_access_key_id": "AKIA-and-no-secret"}, "aws_auth_type"),
    ({"provider": "azure-openai", "azure_auth_mode": "managed", "azure_resource_name": "r"}, "azure_auth_mode"),
    ({"provider": "azure-openai", "azure_auth_mode": "workload", "azure_resource_name": "r"}, "azure_auth_mode"),
    ({"provider": "vertex-ai", "vertex_auth_type": "workload", "vertex_project_id": "p", "vertex_region": "r"}, "vertex_auth_type"),
    ({"provider": "vertex-ai", "vertex_project_id": "p", "vertex_region": "r", "vertex_service_account_json": {
        "type": "external_account", "audience": "a", "subject_token_type": "t", "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": "/etc/passwd"}}}, "vertex_service_account_json"),
])  # fmt: skip
async def test_a_config_of_the_callers_may_not_name_the_gateways_own_identity(tmp_path, settings, path):
    async with playing(tmp_path, {}) as (gw, _, fake):
        config = {"targets": [{**settings, "custom_host": fake.origin}]}
        status, answered, _ = await gw.send(PLAIN, {"x-portkey-config": orjson.dumps(config).decode()})
        assert (status, refusal(answered), fake.seen) == (403, ("identity_forbidden", path), [])


async def test_nobody_may_where_the_operator_lets_nobody(tmp_path):
    async with playing(tmp_path, SERVICE, own="off") as (gw, _, fake):
        status, answered, _ = await gw.send(BODY)
        assert (status, refusal(answered), fake.seen) == (403, ("identity_forbidden", "aws_auth_type"), [])


@pytest.mark.parametrize("own", ["off", "saved"])
async def test_a_role_with_the_callers_own_key_is_nobody_elses_matter(tmp_path, own):
    headers = {**OF_CALLER, "x-portkey-aws-auth-type": "assumedRole", "x-portkey-aws-role-arn": ROLE,
               "x-portkey-aws-external-id": EXTERNAL_ID, "x-portkey-aws-access-key-id": BASE[0],
               "x-portkey-aws-secret-access-key": BASE[1]}  # fmt: skip
    async with playing(tmp_path, {}, own=own) as (gw, cloud, fake):
        status, _, _ = await gw.send(PLAIN, {**headers, "x-portkey-custom-host": fake.origin})
        assert (status, cloud.refusals) == (200, [])


@pytest.mark.parametrize(("saved", "said", "path"), [
    (SERVICE, {"aws_auth_type": "assumedRole", "aws_role_arn": ROLE}, "aws_auth_type"),
    ({"aws_region": "eu-west-1", "aws_access_key_id": "AKIA"}, {"aws_auth_type": "serviceRole"}, "aws_auth_type"),
    (ASSUMED, {"aws_role_arn": ROLE + "2"}, "aws_role_arn"), (ASSUMED, {"aws_external_id": "tenant-8"}, "aws_external_id"),
    (ASSUMED, {"aws_access_key_id": BASE[0], "aws_secret_access_key": BASE[1]}, "aws_access_key_id"),
])  # fmt: skip
@pytest.mark.parametrize("own", ["saved", "any"])
async def test_a_request_may_not_make_another_identity_of_a_saved_account(tmp_path, saved, said, path, own):
    async with playing(tmp_path, saved, own=own) as (gw, _, fake):
        config = {"targets": [{"virtual_key": "cloud", **said}]}
        status, answered, _ = await gw.send(PLAIN, {"x-portkey-config": orjson.dumps(config).decode()})
        assert (status, refusal(answered), fake.seen) == (403, ("identity_forbidden", path), [])


async def test_a_request_may_not_choose_the_role_that_a_saved_key_takes_on(tmp_path):
    saved = {**ASSUMED, "aws_access_key_id": BASE[0]}
    async with playing(tmp_path, saved, secrets={"aws_secret_access_key": BASE[1]}) as (gw, _, fake):
        config = {"targets": [{"virtual_key": "cloud", "aws_role_arn": ROLE + "2"}]}
        status, answered, _ = await gw.send(PLAIN, {"x-portkey-config": orjson.dumps(config).decode()})
        assert (status, refusal(answered), fake.seen) == (403, ("identity_forbidden", "aws_role_arn"), [])


async def test_a_request_may_not_send_the_identity_of_a_saved_account_elsewhere(tmp_path):
    async with playing(tmp_path, SERVICE) as (gw, _, fake):
        config = {
            "targets": [{"virtual_key": "cloud", "custom_host": "https://bedrock-runtime.us-east-1.amazonaws.com"}]
        }
        status, answered, _ = await gw.send(PLAIN, {"x-portkey-config": orjson.dumps(config).decode()})
        assert (status, refusal(answered), fake.seen) == (403, ("identity_forbidden", "custom_host"), [])


# where to

BEDROCK = load_providers()["bedrock"]
HOSTS = service_hosts("bedrock-runtime")


def destination(base_url, row=None, settings=SERVICE, provider=BEDROCK, credential=None):
    facts = CallFacts("m", stream=False, strict=True, headers={}, settings=settings)
    return Destination(provider, None, credential or Credential(None), base_url, {}, facts, row)


def ask_of(*, is_own=True, hosts=HOSTS, bound=("aws_auth_type",)):
    return IdentityAsk("k", AwsIdentity("eu-west-1"), "aws_auth_type", bound, is_own=is_own, hosts=hosts)


@pytest.mark.parametrize("url", [
    "https://bedrock-runtime.eu-west-1.amazonaws.com", "https://bedrock-runtime-fips.us-east-1.amazonaws.com/x",
    "https://bedrock-runtime.cn-north-1.amazonaws.com.cn", "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com",
    "http://trusted.example",
])  # fmt: skip
def test_the_own_identity_is_shown_to_its_cloud_and_to_hosts_that_the_operator_trusts(url):
    check_identity(ask_of(), destination(url), OwnIdentity.ANY, {"trusted.example"})


@pytest.mark.parametrize("url", [
    "http://bedrock-runtime.eu-west-1.amazonaws.com", "https://evil.example", "https://bedrock-runtime.eu-west-1.amazonaws.com.evil.example",
    "https://s3.eu-west-1.amazonaws.com", "https://xbedrock-runtime.eu-west-1.amazonaws.com", "https://a.b.bedrock-runtime.eu-west-1.amazonaws.com",
    "https://ec2-1.compute.amazonaws.com",
])  # fmt: skip
@pytest.mark.parametrize("own", [OwnIdentity.SAVED, OwnIdentity.ANY])
def test_the_own_identity_is_shown_to_nobody_else(url, own):
    row = kit.virtual_key("cloud", provider="bedrock", custom_host=url, settings=SERVICE)
    with pytest.raises(IdentityForbidden) as raised:
        check_identity(ask_of(), destination(url, row), own, {"trusted.example"})
    assert raised.value.path == "custom_host"


def test_an_identity_of_the_accounts_own_may_go_where_its_account_says():
    check_identity(ask_of(is_own=False), destination("https://evil.example"), OwnIdentity.OFF, ())


async def test_a_request_may_not_choose_another_project_for_the_gateways_own_identity(tmp_path):
    saved = {"vertex_auth_type": "workload", "vertex_project_id": "p", "vertex_region": "us-central1"}
    for said in ({"vertex_project_id": "q"}, {"custom_host": "{}/v1/projects/q"}):
        async with playing(tmp_path, saved, provider="vertex-ai", path="/v1/projects/p") as (gw, _, fake):
            target = {
                "virtual_key": "cloud",
                **{name: value.replace("{}", fake.origin) for name, value in said.items()},
            }
            status, answered, _ = await gw.send(
                {**PLAIN, "model": "meta/llama"}, {"x-portkey-config": orjson.dumps({"targets": [target]}).decode()}
            )
            assert (status, refusal(answered), fake.seen) == (403, ("identity_forbidden", next(iter(said))), [])


@pytest.mark.parametrize(("host", "settings", "base_url", "allowed"), [
    (None, SERVICE, "https://bedrock-runtime.eu-west-1.amazonaws.com", True), (None, SERVICE, "https://bedrock-runtime.us-east-1.amazonaws.com", False),
    ("https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com/", SERVICE, "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com", True),
    ("https://bedrock-runtime.eu-west-1.amazonaws.com/a", SERVICE, "https://bedrock-runtime.eu-west-1.amazonaws.com/b", False),
    ("https://bedrock-runtime.eu-west-1.amazonaws.com", SERVICE, "https://bedrock-runtime.eu-west-1.amazonaws.com:8443", False),
    (None, {}, "https://bedrock-runtime.eu-west-1.amazonaws.com", False),
])  # fmt: skip
def test_a_saved_account_says_where_it_is(host, settings, base_url, allowed):
    row = kit.virtual_key("cloud", provider="bedrock", custom_host=host, settings=settings)
    ask = ask_of(bound=())
    if allowed:
        check_identity(ask, destination(base_url, row), OwnIdentity.SAVED, ())
        return
    with pytest.raises(IdentityForbidden, match="its own address"):
        check_identity(ask, destination(base_url, row), OwnIdentity.SAVED, ())


def test_the_address_of_an_account_may_be_a_setting():
    foundry = load_providers()["azure-ai"]
    settings = {"azure_foundry_url": "https://n.services.ai.azure.com/models"}
    row = kit.virtual_key("cloud", provider="azure-ai", settings=settings)
    ask = ask_of(bound=("azure_foundry_url",), hosts=re.compile(r".*\.azure\.com"))
    check_identity(ask, destination(settings["azure_foundry_url"], row, settings, foundry), OwnIdentity.SAVED, ())
    with pytest.raises(IdentityForbidden):
        check_identity(
            ask, destination("https://m.services.ai.azure.com", row, settings, foundry), OwnIdentity.SAVED, ()
        )


def test_a_secret_that_a_request_says_is_another_even_when_it_is_spelt_the_same():
    credential = Credential(None, settings={"aws_secret_access_key": Secret("s")})
    row = kit.virtual_key("cloud", provider="bedrock", settings=SERVICE)
    said = {**SERVICE, "aws_secret_access_key": Secret("s")}
    with pytest.raises(IdentityForbidden) as raised:
        url = "https://bedrock-runtime.eu-west-1.amazonaws.com"
        check_identity(
            ask_of(bound=("aws_secret_access_key",)),
            destination(url, row, said, credential=credential),
            OwnIdentity.ANY,
            (),
        )
    assert raised.value.path == "aws_secret_access_key"


def test_a_model_with_an_address_of_its_own_is_called_by_the_own_identity_there_and_nowhere_else():
    own = "https://bedrock-runtime.eu-west-1.amazonaws.com/large"
    settings = {"large": ModelSettingsRow(own)}
    row = kit.virtual_key("cloud", provider="bedrock", settings=SERVICE, model_settings=settings)
    place = destination(own, row)
    large = replace(place, facts=replace(place.facts, model="large"))
    check_identity(ask_of(bound=()), large, OwnIdentity.SAVED, ())
    with pytest.raises(IdentityForbidden, match="its own address"):
        check_identity(ask_of(bound=()), place, OwnIdentity.SAVED, ())
