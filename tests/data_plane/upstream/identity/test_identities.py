import asyncio

import pytest

from data_plane.core.identity import AwsIdentity, AwsKey, AzureIdentity, AzureWay, GoogleIdentity, OwnIdentity
from data_plane.core.types import CallFacts
from data_plane.providers._azure import token as azure_token
from data_plane.providers._google_auth import google_token
from data_plane.providers.bedrock import PROVIDER as BEDROCK
from data_plane.upstream.identity.identities import EARLY_S, make_identities
from data_plane.upstream.identity.machine import IdentityRefused
from shared.redact import Secret
from tests.fakes.clouds import BASE, EXTERNAL_ID, OWN, ROLE, FakeCloud, Rerouted, lent
from tests.fakes.provider import FakeProvider

REGION = "eu-west-1"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Stage:
    def __init__(self, fake, cloud, variables):
        self.fake, self.cloud = fake, cloud
        self.client = Rerouted(fake)
        told = {"AWS_ENDPOINT_URL_STS": fake.origin, "AZURE_POD_IDENTITY_AUTHORITY_HOST": fake.origin,
                "GCE_METADATA_HOST": f"127.0.0.1:{fake.port}", "AWS_EC2_METADATA_SERVICE_ENDPOINT": fake.origin, **variables}  # fmt: skip
        self.identities = make_identities(self.client, told, allowed=OwnIdentity.SAVED)
        self.clock = Clock()
        for renewed in (self.identities._keys, self.identities._tokens):
            renewed._clock = self.clock


@pytest.fixture
async def stage():
    cloud = FakeCloud()
    async with FakeProvider(cloud) as fake:
        made = Stage(fake, cloud, {})
        yield made
        await made.identities.close()
        await made.client.close()


def bedrock(**settings):
    told = {
        "aws_region": REGION,
        "aws_auth_type": "assumedRole",
        "aws_role_arn": ROLE,
        "aws_external_id": EXTERNAL_ID,
        **settings,
    }
    return BEDROCK.token(None, CallFacts("m", stream=False, strict=True, headers={}, settings=told))


WITH_KEY = {"aws_access_key_id": BASE[0], "aws_secret_access_key": Secret(BASE[1])}


async def test_a_role_is_granted_as_settings_that_sign(stage):
    granted = await stage.identities.get(bedrock(**WITH_KEY))
    told = {name: value.reveal() if isinstance(value, Secret) else value for name, value in granted.settings.items()}
    assert (granted.key, stage.cloud.refusals) == (None, [])
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    assert told == {"aws_auth_type": "accessKey", **dict(zip(names, lent("LENT1"), strict=True))}
    assert not any(secret in repr(granted) for secret in lent("LENT1")[1:])


async def test_a_role_without_a_key_of_the_accounts_is_taken_on_by_the_gateways_own_identity(stage):
    await stage.identities.get(bedrock())
    assert (stage.cloud.refusals, stage.cloud.lent) == ([], 2)
    # The machine's own key is kept for the next role.
    with pytest.raises(IdentityRefused):
        await stage.identities.get(bedrock(aws_external_id="other"))
    assert [seen.path for seen in stage.fake.seen].count("/latest/api/token") == 1


async def test_many_requests_at_once_take_on_a_role_once_and_use_it_until_shortly_before_its_end(stage):
    found = await asyncio.gather(*(stage.identities.get(bedrock(**WITH_KEY)) for _ in range(20)))
    assert ({each.settings["aws_access_key_id"] for each in found}, stage.cloud.lent) == ({"ASIALENT1"}, 1)
    stage.clock.now += 3600 - EARLY_S - 10
    await stage.identities.get(bedrock(**WITH_KEY))
    assert stage.cloud.lent == 1
    stage.clock.now += 20
    await stage.identities.get(bedrock(**WITH_KEY))
    assert stage.cloud.lent == 2


async def test_a_refused_role_is_not_asked_for_again_at_once(stage):
    for _ in range(3):
        with pytest.raises(IdentityRefused):
            await stage.identities.get(bedrock(**WITH_KEY, aws_external_id="wrong"))
    assert len(stage.fake.seen) == 1


async def test_accounts_that_differ_in_anything_are_given_what_is_theirs(stage):
    asks = [
        bedrock(**WITH_KEY), bedrock(**WITH_KEY, aws_external_id="x2"), bedrock(**WITH_KEY, aws_role_arn=ROLE + "2"), bedrock(),
        bedrock(**{**WITH_KEY, "aws_secret_access_key": Secret("other")}), bedrock(**{**WITH_KEY, "aws_access_key_id": "AKIA2"}),
        bedrock(**WITH_KEY, aws_session_token=Secret("s")), bedrock(aws_auth_type="serviceRole"),
    ]  # fmt: skip
    assert len({ask.key for ask in asks}) == len(asks)
    assert bedrock(**WITH_KEY, aws_region="us-east-1").key == asks[0].key


async def test_an_access_key_is_its_own_identity(stage):
    key = AwsKey(BASE[0], Secret(BASE[1]))
    assert await stage.identities.aws_key(AwsIdentity(REGION, key)) is key
    assert stage.fake.seen == []


async def test_a_service_role_is_the_gateways_own_key():
    async with FakeProvider(FakeCloud()) as fake:
        stage = Stage(fake, None, {"AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1]})
        granted = await stage.identities.get(bedrock(aws_auth_type="serviceRole"))
        assert granted.settings["aws_access_key_id"] == OWN[0]
        assert granted.settings["aws_session_token"] is None
        await stage.identities.close()
        await stage.client.close()


async def test_azure_and_google_grant_tokens_once(stage):
    facts = CallFacts(
        "m",
        stream=False,
        strict=True,
        headers={},
        settings={"azure_auth_mode": "managed", "vertex_auth_type": "workload"},
    )
    for _ in range(2):
        azure = await stage.identities.get(azure_token(None, facts))
        google = await stage.identities.get(google_token(None, facts))
    assert (azure.key.reveal(), google.key.reveal(), azure.settings, google.settings) == (
        "azure-token",
        "google-token",
        {},
        {},
    )
    assert len(stage.fake.seen) == 2


def test_what_is_wanted_does_not_show_secrets():
    shown = repr(bedrock(**WITH_KEY)) + repr(AzureIdentity(AzureWay.MANAGED, "s")) + repr(GoogleIdentity())
    assert BASE[1] not in shown
