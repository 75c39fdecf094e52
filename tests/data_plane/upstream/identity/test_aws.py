"""AWS, as a strict fake of it plays it: it checks each signature by AWS's own code."""

import dataclasses
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from data_plane.core.identity import AwsIdentity, AwsKey
from data_plane.upstream.identity.aws import Aws, _may_be_container
from data_plane.upstream.identity.machine import IdentityRefused, Machine
from shared.redact import Secret
from tests.fakes.clouds import (
    BASE,
    CONTAINER_PROOF,
    EXTERNAL_ID,
    OWN,
    POD_PROOF,
    POD_ROLE,
    ROLE,
    FakeCloud,
    Rerouted,
    lent,
)
from tests.fakes.provider import FakeProvider, Reply

REGION = "eu-west-1"
KEY = AwsKey(BASE[0], Secret(BASE[1]))
WANTED = AwsIdentity(REGION, KEY, ROLE, EXTERNAL_ID)
OF_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1]}


class Stage:
    """A fake AWS, and a machine that is told of it by variables in which `{}` is its address."""

    def __init__(self, fake, cloud, variables):
        self.fake, self.cloud = fake, cloud
        self.machine = Machine({name: value.replace("{}", fake.origin) for name, value in variables.items()})
        self.client = Rerouted(fake)
        self.aws = Aws(self.client, self.machine)

    async def close(self):
        await self.machine.close()
        await self.client.close()


@pytest.fixture
async def stage():
    made = []
    cloud = FakeCloud()
    async with FakeProvider(cloud) as fake:

        def play(**variables):
            made.append(Stage(fake, cloud, variables))
            return made[-1]

        yield play
        for each in made:
            await each.close()


def revealed(key):
    return key.key_id, key.secret.reveal(), key.token.reveal() if key.token else None


IMDS = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{}"}
CONTAINER = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{}/v2/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER_PROOF,
}


@pytest.fixture
def pod(tmp_path):
    proof = tmp_path / "token"
    proof.write_text(POD_PROOF + "\n")
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(proof), "AWS_ROLE_ARN": POD_ROLE, "AWS_ENDPOINT_URL_STS": "{}"}


def emptied(path):
    Path(path).write_text("")


# roles


async def test_a_role_is_taken_on_for_an_hour_with_the_accounts_key(stage):
    play = stage(AWS_ENDPOINT_URL_STS="{}")
    key, life_s = await play.aws.assume(WANTED, KEY)
    assert (revealed(key), play.cloud.refusals) == (lent("LENT1"), [])
    assert 3590 < life_s < 3610


async def test_a_temporary_key_takes_on_a_role_with_its_session(stage):
    play = stage(AWS_ENDPOINT_URL_STS="{}")
    first, _ = await play.aws.assume(WANTED, KEY)
    await play.aws.assume(WANTED, first)
    assert play.cloud.refusals == []


@pytest.mark.parametrize("change", [
    {"external_id": ""}, {"external_id": "tenant-8"}, {"role": ROLE + "x"}, {"base": AwsKey(BASE[0], Secret("guess"))}, {"base": AwsKey("AKIANONE", Secret("x"))},
])  # fmt: skip
async def test_another_role_external_id_or_key_is_refused_without_a_word_of_them(stage, change):
    play = stage(AWS_ENDPOINT_URL_STS="{}")
    wanted = dataclasses.replace(WANTED, **change)
    with pytest.raises(IdentityRefused) as raised, capture_logs() as logs:
        await play.aws.assume(wanted, wanted.base)
    told = str(raised.value.body()) + str(logs)
    assert not any(word in told for word in (BASE[1], ROLE, "tenant", "secret story", "127.0.0.1"))
    assert (logs[0]["event"], logs[0]["status"], logs[0]["step"]) == ("identity_refused", 403, "assume_role")


@pytest.mark.parametrize(("region", "place"), [
    ("eu-west-1", "https://sts.eu-west-1.amazonaws.com"), ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
    ("us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com"),
])  # fmt: skip
async def test_the_token_service_of_the_region_is_asked(stage, region, place):
    play = stage()
    # The fake sees another host than was signed, so it refuses: what counts is where the call was going.
    with pytest.raises(IdentityRefused):
        await play.aws.assume(dataclasses.replace(WANTED, region=region), KEY)
    assert play.client.called == [place]


@pytest.mark.parametrize("reply", [
    Reply(body=b"<html>Please sign in</html>"), Reply(json={}), Reply(body=b""), Reply(500), Reply(302, headers={"location": "/"}),
])  # fmt: skip
async def test_an_answer_that_is_none_of_the_token_service_is_a_refusal(reply):
    async with FakeProvider([reply]) as fake:
        machine = Machine({"AWS_ENDPOINT_URL_STS": fake.origin})
        with pytest.raises(IdentityRefused):
            await Aws(Rerouted(fake), machine).assume(WANTED, KEY)
        await machine.close()


# the gateway's own identity


async def test_a_key_of_the_environment_is_the_first_that_counts(stage, pod):
    play = stage(**OF_ENVIRONMENT, **pod, **CONTAINER, **IMDS, AWS_SESSION_TOKEN="session")
    key, life_s = await play.aws.own(REGION)
    assert (revealed(key), life_s, play.fake.seen) == ((*OWN[:2], "session"), 3600.0, [])


async def test_the_clusters_proof_is_the_second_and_is_not_signed(stage, pod):
    play = stage(**pod, **CONTAINER, **IMDS)
    key, _ = await play.aws.own(REGION)
    assert (revealed(key), play.cloud.refusals) == (lent("LENT1"), [])
    assert [seen.path for seen in play.fake.seen] == ["/"]


async def test_the_clusters_proof_is_read_anew_each_time(stage, pod):
    play = stage(**pod)
    await play.aws.own(REGION)
    emptied(pod["AWS_WEB_IDENTITY_TOKEN_FILE"])
    with pytest.raises(IdentityRefused):
        await play.aws.own(REGION)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({}, "ap-south-1"),
        ({"AWS_REGION": "eu-west-3"}, "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
    ],
)
async def test_the_cluster_says_whose_token_service_is_asked_before_the_account_does(stage, pod, said, asked):
    play = stage(**{name: value for name, value in pod.items() if name != "AWS_ENDPOINT_URL_STS"}, **said)
    await play.aws.own("ap-south-1")
    assert play.client.called == [f"https://sts.{asked}.amazonaws.com"]


async def test_the_containers_address_is_the_third(stage):
    play = stage(**CONTAINER, **IMDS)
    key, _ = await play.aws.own(REGION)
    assert (revealed(key), play.cloud.refusals) == (lent("LENT1"), [])
    assert [seen.path for seen in play.fake.seen] == ["/v2/credentials"]


async def test_the_containers_proof_in_a_file_wins(stage, tmp_path):
    proof = tmp_path / "proof"
    proof.write_text(CONTAINER_PROOF)
    play = stage(
        **{**CONTAINER, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "old"}, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(proof)
    )
    await play.aws.own(REGION)
    assert play.cloud.refusals == []


async def test_a_container_without_its_proof_is_refused(stage):
    play = stage(AWS_CONTAINER_CREDENTIALS_FULL_URI="{}/v2/credentials")
    with pytest.raises(IdentityRefused):
        await play.aws.own(REGION)
    assert play.cloud.refusals == ["no proof"]


@pytest.mark.parametrize(("url", "allowed"), [
    ("http://169.254.170.2/v2/x", True), ("http://169.254.170.23/v1/credentials", True), ("http://[fd00:ec2::23]/v1", True), ("http://127.0.0.1:51679/x", True),
    ("http://[::1]/x", True), ("http://localhost/x", True), ("https://creds.example/x", True),
    ("http://creds.example/x", False), ("http://169.254.169.254/x", False), ("http://10.0.0.1/x", False), ("ftp://127.0.0.1/", False), ("https:///x", False),
    ("http://[::1/x", False), ("", False),
])  # fmt: skip
def test_a_container_is_asked_where_awss_programs_would_ask(url, allowed):
    assert _may_be_container(url) is allowed


async def test_a_containers_address_that_leads_away_is_not_asked(stage):
    play = stage(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="@evil.example/x")
    with pytest.raises(IdentityRefused), capture_logs() as logs:
        await play.aws.own(REGION)
    assert logs[0]["reason"] == "address"


async def test_the_machines_metadata_service_is_the_last_and_asked_in_its_second_version(stage):
    play = stage(**IMDS)
    key, _ = await play.aws.own(REGION)
    assert (revealed(key), play.cloud.refusals) == (lent("LENT1"), [])
    assert [(seen.method, seen.path.rsplit("/", 1)[1]) for seen in play.fake.seen] == [
        ("PUT", "token"),
        ("GET", ""),
        ("GET", "the-role"),
    ]


async def test_a_machine_that_speaks_only_the_first_version_is_not_asked_further():
    async with FakeProvider(lambda seen: Reply(405) if seen.method == "PUT" else Reply(body=b"the-role")) as fake:
        machine = Machine({"AWS_EC2_METADATA_SERVICE_ENDPOINT": fake.origin})
        with pytest.raises(IdentityRefused):
            await Aws(Rerouted(fake), machine).own(REGION)
        assert [seen.method for seen in fake.seen] == ["PUT"]
        await machine.close()


async def test_a_role_cannot_lead_out_of_its_place_and_only_the_first_is_taken():
    def answer(seen):
        if seen.method == "PUT":
            return Reply(body=b"t")
        return Reply(body=b"../x?y\nsecond") if seen.path.endswith("security-credentials/") else Reply(404)

    async with FakeProvider(answer) as fake:
        machine = Machine({"AWS_EC2_METADATA_SERVICE_ENDPOINT": fake.origin + "/"})
        with pytest.raises(IdentityRefused):
            await Aws(Rerouted(fake), machine).own(REGION)
        assert fake.seen[-1].target == "/latest/meta-data/iam/security-credentials/..%2Fx%3Fy"
        await machine.close()


async def test_a_machine_with_no_role_is_a_refusal():
    async with FakeProvider(lambda seen: Reply(body=b"t" if seen.method == "PUT" else b"")) as fake:
        machine = Machine({"AWS_EC2_METADATA_SERVICE_ENDPOINT": fake.origin})
        with pytest.raises(IdentityRefused):
            await Aws(Rerouted(fake), machine).own(REGION)
        await machine.close()


async def test_a_machine_whose_metadata_service_is_off_is_not_asked(stage):
    play = stage(**IMDS, AWS_EC2_METADATA_DISABLED="TRUE")
    with pytest.raises(IdentityRefused):
        await play.aws.own(REGION)
    assert play.fake.seen == []
