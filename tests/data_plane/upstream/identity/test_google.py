"""Google, as a strict fake of it plays it; and what an account's JSON may make the gateway read."""

import json

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.identity import GoogleIdentity
from data_plane.providers._google_identity import read_external
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.google import Google, SourceRefused, _lent, _subject
from data_plane.upstream.identity.machine import IdentityRefused, Machine, Told
from shared.errors import GatewayError
from tests.fakes.clouds import FakeCloud, Rerouted, external_account
from tests.fakes.provider import FakeProvider, Reply

OWN = GoogleIdentity()
IMPERSONATE = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/sa@p.iam.example:generateAccessToken"


class Stage:
    def __init__(self, fake, cloud, variables, folders):
        self.fake, self.cloud = fake, cloud
        self.client = Rerouted(fake)
        self.machine = Machine(variables)
        self.google = Google(self.client, self.machine, folders=folders, trusted_hosts=frozenset({"127.0.0.1"}))

    async def token(self, wanted=OWN):
        token, life_s = await self.google.token(wanted)
        assert 3590 < life_s <= 3610
        return token.reveal()

    @property
    def paths(self):
        return [seen.path for seen in self.fake.seen]


@pytest.fixture
async def stage(tmp_path):
    made = []
    cloud = FakeCloud()
    async with FakeProvider(cloud) as fake:

        def play(folders=(), **variables):
            told = {name: value.replace("{}", f"127.0.0.1:{fake.port}") for name, value in variables.items()}
            made.append(Stage(fake, cloud, told, folders))
            return made[-1]

        yield play
        for each in made:
            await each.machine.close()
            await each.client.close()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "tokens"
    made.mkdir()
    (made / "proof").write_text("subject-proof\n")
    (made / "proof.json").write_text('{"id_token":"subject-proof"}')
    (tmp_path / "secret").write_text("subject-proof")
    return made


def external(source, **changes):
    return GoogleIdentity(read_external(json.loads(external_account(credential_source=source, **changes))))


# the machine


async def test_the_machine_is_asked_with_the_header_that_no_stranger_can_make_others_send(stage):
    play = stage(GCE_METADATA_HOST="{}")
    assert (await play.token(), play.cloud.refusals) == ("google-token", [])


async def test_a_server_that_only_has_the_name_of_the_metadata_service_is_not_believed():
    async with FakeProvider([Reply(json={"access_token": "t", "expires_in": 3600})]) as fake:
        machine = Machine({"GCE_METADATA_HOST": f"127.0.0.1:{fake.port}"})
        with pytest.raises(IdentityRefused):
            await Google(Rerouted(fake), machine).token(OWN)
        await machine.close()


# another cloud's proof


@pytest.mark.parametrize(
    ("name", "form"), [("proof", None), ("proof.json", {"type": "json", "subject_token_field_name": "id_token"})]
)
async def test_a_proof_in_an_open_folder_is_exchanged(stage, folder, name, form):
    play = stage([folder])
    assert (
        await play.token(external({"file": str(folder / name), **({"format": form} if form else {})})) == "google-token"
    )
    assert (play.paths, play.cloud.refusals, play.client.called) == (["/v1/token"], [], ["https://sts.googleapis.com"])


async def test_what_is_exchanged_may_become_a_service_account(stage, folder):
    play = stage([folder])
    wanted = external({"file": str(folder / "proof")}, service_account_impersonation_url=IMPERSONATE)
    assert (await play.token(wanted), play.cloud.refusals) == ("impersonated", [])
    assert play.client.called == ["https://sts.googleapis.com", "https://iamcredentials.googleapis.com"]


async def test_a_client_of_the_pool_says_who_it_is(stage, folder):
    play = stage([folder])
    await play.token(external({"file": str(folder / "proof")}, client_id="id", client_secret="sentinel"))
    assert play.fake.seen[0].headers["authorization"] == "Basic aWQ6c2VudGluZWw="


async def test_a_member_of_a_workforce_says_whose_quota_is_used(stage, folder):
    play = stage([folder])
    await play.token(external({"file": str(folder / "proof")}, workforce_pool_user_project="p"))
    assert b"options=%7B%22userProject%22%3A%22p%22%7D" in play.fake.seen[0].body


async def test_another_audience_is_refused_by_google(stage, folder):
    play = stage([folder])
    with pytest.raises(IdentityRefused):
        await play.token(external({"file": str(folder / "proof")}, audience="//iam.googleapis.com/other"))
    assert play.cloud.refusals == ["another proof or audience"]


@pytest.mark.parametrize(
    "path", ["{}/../secret", "/etc/passwd", "proof", "{}", "{}/none", "{}/link", "{}x/proof", "{}/\0"]
)
async def test_an_account_cannot_make_the_gateway_read_a_file_outside_of_the_open_folders(
    stage, folder, path, monkeypatch
):
    (folder / "link").symlink_to(folder.parent / "secret")
    beside = folder.parent / "tokensx"
    beside.mkdir()
    (beside / "proof").write_text("subject-proof")
    monkeypatch.chdir(folder)
    play = stage([folder])
    with pytest.raises((SourceRefused, IdentityRefused)) as raised:
        await play.token(external({"file": path.replace("{}", str(folder))}))
    inside = path in {"{}", "{}/none"}
    assert isinstance(raised.value, IdentityRefused if inside else SourceRefused)
    assert inside or (raised.value.status, raised.value.path) == (403, "vertex_service_account_json")
    assert play.paths == []


async def test_without_an_open_folder_no_file_is_read(stage, folder):
    with pytest.raises(SourceRefused):
        await stage().token(external({"file": str(folder / "proof")}))


async def test_a_link_within_an_open_folder_is_followed_as_clusters_make_them(stage, folder):
    (folder / "..data").mkdir()
    (folder / "..data" / "token").write_text("subject-proof")
    (folder / "token").symlink_to("..data/token")
    assert await stage([folder]).token(external({"file": str(folder / "token")})) == "google-token"


async def test_a_proof_at_an_address_is_exchanged(stage):
    play = stage()
    source = {
        "url": f"{play.fake.origin}/subject",
        "headers": {"x-proof": "yes"},
        "format": {"type": "json", "subject_token_field_name": "id_token"},
    }
    assert (await play.token(external(source)), play.cloud.refusals) == ("google-token", [])
    assert play.paths == ["/subject", "/v1/token"]


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/metadata/identity/oauth2/token", "http://metadata.google.internal/x", "http://10.0.0.1/x", "http://[::1]/x", "file:///etc/passwd",
    "http://user@127.0.0.1/x", "http://metadata.google.internal./x", "http://2130706433/x",
])  # fmt: skip
async def test_an_account_cannot_make_the_gateway_ask_addresses_that_are_closed(stage, url):
    play = stage()
    with pytest.raises(GatewayError) as raised:
        await play.token(external({"url": url, "headers": {"metadata": "true"}}))
    assert raised.value.status in {403, 502}
    assert play.paths == []


async def test_a_name_that_leads_inside_is_refused_when_it_is_called():
    client = UpstreamClient(frozenset())
    async with FakeProvider([Reply(body=b"subject-proof")]) as inside:
        google = Google(client, Machine({}), trusted_hosts=frozenset({"localhost"}))
        with pytest.raises(IdentityRefused):
            await google.token(external({"url": f"http://localhost:{inside.port}/"}))
        assert inside.seen == []
    await client.close()


@pytest.mark.parametrize("reply", [Reply(404), Reply(body=b""), Reply(body=b"\xff"), Reply(json=[])])
async def test_an_address_that_tells_no_proof_is_a_refusal(reply):
    async with FakeProvider([reply]) as fake:
        client = Rerouted(fake)
        form = {"type": "json", "subject_token_field_name": "t"} if reply.json is not None else {}
        wanted = external({"url": fake.origin, "format": form})
        with pytest.raises(IdentityRefused):
            await Google(client, Machine({}), trusted_hosts=frozenset({"127.0.0.1"})).token(wanted)
        assert len(fake.seen) == 1
        await client.close()


@pytest.mark.parametrize("told", [
    {}, {"accessToken": "t"}, {"accessToken": "t", "expireTime": 7}, {"accessToken": "t", "expireTime": "2030-01-01T00:00:00"},
    {"accessToken": "", "expireTime": "2030-01-01T00:00:00Z"}, {"expireTime": "2030-01-01T00:00:00Z"},
])  # fmt: skip
async def test_a_service_account_that_is_not_told_is_a_refusal(folder, told):
    script = [Reply(json={"access_token": "google-token", "expires_in": 3600}), Reply(json=told)]
    async with FakeProvider(script) as fake:
        client = Rerouted(fake)
        wanted = external({"file": str(folder / "proof")}, service_account_impersonation_url=IMPERSONATE)
        with pytest.raises(IdentityRefused):
            await Google(client, Machine({}), folders=[folder]).token(wanted)
        await client.close()


# the operator's own file


def own_file(tmp_path, text):
    path = tmp_path / "own.json"
    path.write_text(text)
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}


async def test_the_operators_file_wins_over_the_machine_and_may_name_any_file(stage, folder, tmp_path):
    named = own_file(tmp_path, external_account(credential_source={"file": str(folder / "proof")}))
    play = stage(**named, GCE_METADATA_HOST="{}")
    assert (await play.token(), play.paths) == ("google-token", ["/v1/token"])


async def test_the_operators_file_may_name_an_address_that_is_closed_to_accounts(stage, tmp_path):
    play = stage()
    play.client._pool._trusted = frozenset()
    source = {
        "url": f"{play.fake.origin}/subject",
        "headers": {"x-proof": "yes"},
        "format": {"type": "json", "subject_token_field_name": "id_token"},
    }
    account = read_external(json.loads(external_account(credential_source=source)))
    assert await play.google._from_address(account, is_own=True) == "subject-proof"
    with pytest.raises(IdentityRefused):
        await play.google._from_address(account, is_own=False)


async def test_the_operators_file_may_hold_a_service_account(tmp_path):
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    text = orjson.dumps({"type": "service_account", "client_email": "a@b", "private_key": pem}).decode()
    async with FakeProvider([Reply(json={"access_token": "t", "expires_in": 60})]) as fake:
        client = Rerouted(fake)
        token, life_s = await Google(client, Machine(own_file(tmp_path, text))).token(OWN)
        assert (token.reveal(), life_s, client.called) == ("t", 60.0, ["https://oauth2.googleapis.com"])
        await client.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"type":"service_account"}',
        external_account(audience=None),
        external_account(token_url="https://evil.example/"),
    ],
)
async def test_an_operators_file_that_is_no_account_is_a_refusal(stage, tmp_path, text):
    with pytest.raises(IdentityRefused):
        await stage(**own_file(tmp_path, text)).token()


async def test_an_account_that_google_refuses_is_a_refusal(tmp_path):
    user = orjson.dumps(
        {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    ).decode()
    async with FakeProvider([Reply(400, json={"error": "invalid_grant"})]) as fake:
        client = Rerouted(fake)
        with pytest.raises(IdentityRefused):
            await Google(client, Machine(own_file(tmp_path, user))).token(OWN)
        await client.close()


# whatever is answered


@given(st.binary(max_size=100), st.sampled_from(["", "t"]), st.sampled_from([200, 500]))
def test_whatever_is_answered_is_a_token_or_a_refusal(content, member, status):
    for read in (lambda: _subject(content, member), lambda: _lent(Told(status, {}, content), "step")):
        try:
            assert read()
        except IdentityRefused:
            continue
