"""Azure, as a strict fake of it plays it."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from data_plane.core.identity import AzureIdentity, AzureWay
from data_plane.upstream.identity.azure import Azure
from data_plane.upstream.identity.machine import IdentityRefused, Machine, Told
from tests.fakes.clouds import AZURE_RESOURCE, POD_PROOF, FakeCloud, Rerouted
from tests.fakes.provider import FakeProvider, Reply

SCOPE = AZURE_RESOURCE + "/.default"
MACHINE = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "{}"}
APP = {"IDENTITY_ENDPOINT": "{}/msi/token", "IDENTITY_HEADER": "app-proof"}


async def played(wanted, variables, script=None):
    """Return (token or the refusal, life, paths seen, refusals of the fake, addresses that were meant)."""
    cloud = FakeCloud()
    async with FakeProvider(script or cloud) as fake:
        machine = Machine({name: value.replace("{}", fake.origin) for name, value in variables.items()})
        client = Rerouted(fake)
        try:
            token, life_s = await Azure(client, machine).token(wanted)
            got = token.reveal()
        except IdentityRefused as refusal:
            got, life_s = refusal, 0.0
        await machine.close()
        await client.close()
        return got, life_s, [seen.path for seen in fake.seen], cloud.refusals, client.called


def managed(**changes):
    return AzureIdentity(**{"way": AzureWay.MANAGED, "scope": SCOPE, **changes})


@pytest.fixture
def cluster(tmp_path):
    proof = tmp_path / "token"
    proof.write_text(POD_PROOF + "\n")
    return {"AZURE_FEDERATED_TOKEN_FILE": str(proof), "AZURE_TENANT_ID": "tenant-1", "AZURE_CLIENT_ID": "pod-client"}


@pytest.mark.parametrize("client", ["", "the-client"])
@pytest.mark.parametrize(
    ("variables", "path"), [(MACHINE, "/metadata/identity/oauth2/token"), ({**APP, **MACHINE}, "/msi/token")]
)
async def test_a_managed_identity_is_asked_of_the_app_or_else_of_the_machine(variables, path, client):
    token, life_s, paths, refusals, _ = await played(managed(client=client), variables)
    assert (token, paths, refusals) == ("azure-token", [path], [])
    assert 3590 < life_s <= 3600


@pytest.mark.parametrize("change", [{"client": "another"}, {"scope": "https://other.example/.default"}])
async def test_an_identity_or_resource_that_the_machine_does_not_have_is_a_refusal(change):
    with capture_logs() as logs:
        refusal, _, _, refusals, _ = await played(managed(**change), MACHINE)
    assert len(refusals) == 1
    assert (refusal.status, refusal.code) == (502, "upstream_identity_refused")
    (log,) = logs
    assert (log["event"], log["cloud"], log["step"], log["status"]) == ("identity_refused", "Azure", "managed", 400)
    assert set(log) == {"event", "cloud", "step", "status", "log_level", "module"}


async def test_an_app_that_shows_another_header_is_refused():
    refusal, _, _, refusals, _ = await played(managed(), {**APP, "IDENTITY_HEADER": "guess"})
    assert isinstance(refusal, IdentityRefused)
    assert refusals == ["a header is missing"]


@pytest.mark.parametrize(
    ("host", "called"), [({}, ["https://login.microsoftonline.com"]), ({"AZURE_AUTHORITY_HOST": "{}/"}, [])]
)
async def test_a_workload_shows_its_clusters_proof_where_azure_signs_in(cluster, host, called):
    wanted = AzureIdentity(AzureWay.WORKLOAD, SCOPE)
    token, _, paths, refusals, meant = await played(wanted, {**cluster, **host})
    assert (token, paths, refusals, meant) == ("workload-token", ["/tenant-1/oauth2/v2.0/token"], [], called)


async def test_a_workload_may_be_another_client_of_its_tenant(cluster):
    wanted = AzureIdentity(AzureWay.WORKLOAD, SCOPE, "pod-client")
    assert (await played(wanted, {**cluster, "AZURE_CLIENT_ID": "other"}))[0] == "workload-token"
    refusal, _, _, refusals, _ = await played(AzureIdentity(AzureWay.WORKLOAD, SCOPE, "stranger"), cluster)
    assert isinstance(refusal, IdentityRefused)
    assert refusals == ["another assertion"]


@pytest.mark.parametrize("missing", ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"])
async def test_a_machine_that_is_no_workload_asks_nobody(cluster, missing):
    refusal, _, paths, _, _ = await played(AzureIdentity(AzureWay.WORKLOAD, SCOPE), {**cluster, missing: ""})
    assert isinstance(refusal, IdentityRefused)
    assert paths == []


async def test_an_application_trusts_the_machines_identity():
    wanted = AzureIdentity(AzureWay.FEDERATED, SCOPE, "", "tenant-2", "app")
    token, _, paths, refusals, _ = await played(wanted, MACHINE)
    assert (token, refusals) == ("federated-token", [])
    assert paths == ["/metadata/identity/oauth2/token", "/tenant-2/oauth2/v2.0/token"]


@pytest.mark.parametrize("told", [
    {}, [], {"access_token": "", "expires_in": 1}, {"access_token": 7, "expires_in": 1}, {"access_token": "t"}, {"access_token": "t", "expires_in": "soon"},
    {"access_token": "t", "expires_in": -1}, {"access_token": "t", "expires_on": "1"}, {"access_token": "t", "expires_in": "inf"},
    {"access_token": "t", "expires_in": []},
])  # fmt: skip
async def test_an_answer_that_is_no_token_is_a_refusal(told):
    refusal, *_ = await played(managed(), MACHINE, [Reply(json=told)])
    assert isinstance(refusal, IdentityRefused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.dictionaries(st.sampled_from(["access_token", "expires_in", "expires_on"]), inner) | st.lists(inner)
    ),
)


@given(st.binary(max_size=100) | JSON.map(json.dumps).map(str.encode), st.sampled_from([200, 204, 400, 500]))
def test_whatever_is_answered_is_a_token_or_a_refusal(content, status):
    try:
        token, life_s = Azure(None, None, time.time)._lent(Told(status, {}, content), "step")
    except IdentityRefused:
        return
    assert token
    assert 0 < life_s < float("inf")
