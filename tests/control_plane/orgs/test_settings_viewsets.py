"""How people and programs prove who they are, in the Admin API."""

import pytest

from control_plane.core.scopes import ORGANISATION_KEY
from control_plane.orgs import domains
from control_plane.orgs.models import Domain
from tests.control_plane.factories import Api, make_key, make_tenant
from tests.control_plane.orgs.provider_kit import lying_provider

pytestmark = pytest.mark.django_db
JWKS = "admin/organisation/jwks"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


@pytest.fixture
def lying(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    with lying_provider() as provider:
        yield provider


def test_the_keys_of_tokens_are_set_read_and_taken_away(api, lying):
    assert api.get(JWKS).json()["keys"] == []
    shown = api.put(JWKS, {"jwks_uri": f"{lying.issuer}/k"}).json()
    assert shown == api.get(JWKS).json()
    assert ([key["kid"] for key in shown["keys"]], shown["jwks_uri"]) == (["one"], f"{lying.issuer}/k")
    assert api.delete(JWKS).json()["keys"] == []
    assert api.delete(JWKS).status_code == 404


def test_published_keys_are_read_again_on_demand(api, lying):
    assert api.post(f"{JWKS}/refresh").status_code == 404
    api.put(JWKS, {"jwks_uri": f"{lying.issuer}/k"})
    lying.documents["/k"] = {"keys": [lying.jwk("two")]}
    assert [key["kid"] for key in api.post(f"{JWKS}/refresh").json()["keys"]] == ["two"]


@pytest.mark.parametrize(
    "body", [{}, {"jwks": []}, {"jwks": {"keys": "x"}}, {"jwks_uri": "https://10.0.0.1/k"}, {"jwks_uri": 7}]
)
def test_keys_that_cannot_be_used_are_a_400(api, body):
    answer = api.put(JWKS, body)
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")


@pytest.mark.parametrize(
    "path",
    [JWKS, "admin/organisation/sign-in-rules", "admin/organisation/identity-provider", "admin/organisation/domains"],
)
def test_settings_need_their_scopes(tenant, path):
    none = Api(make_key(tenant, ["configs.list"], key_type=ORGANISATION_KEY).shown_once())
    reading = Api(make_key(tenant, ["organisation_settings.read"], key_type=ORGANISATION_KEY).shown_once())
    assert none.get(path).status_code == 403
    assert reading.get(path).status_code == 200
    assert reading.put(path, {}).status_code in {403, 405}
    assert Api().get(path).status_code == 401


def test_an_organisation_sees_its_own_settings(api, lying):
    api.put(JWKS, {"jwks": {"keys": [lying.jwk()]}})
    other = Api(make_tenant("Other").admin_key)
    assert other.get(JWKS).json()["keys"] == []
    assert other.delete(JWKS).status_code == 404


def test_no_key_says_how_people_sign_in(tenant, api, lying):
    for answer in (
        api.put("admin/organisation/sign-in-rules", {"sso_only": True}),
        api.put(
            "admin/organisation/identity-provider", {"issuer": lying.issuer, "client_id": "c", "client_secret": "s"}
        ),
        api.delete("admin/organisation/identity-provider"),
        api.post("admin/organisation/domains", {"name": "corp.example"}),
    ):
        assert (answer.status_code, answer.json()["data"]["errorCode"]) == (403, "AB03")
    assert api.get("admin/organisation/sign-in-rules").json()["sso_only"] is False


def test_a_claimed_domain_is_shown_with_the_record_that_proves_it(tenant, api):
    row = domains.claim_domain(tenant.actor, "corp.example")
    shown = api.get(f"admin/organisation/domains/{row.name}").json()
    assert (shown["name"], shown["verified_at"], shown["record"]["type"]) == ("corp.example", None, "TXT")
    assert shown["record"]["name"] == "_gatehouse.corp.example"
    assert [each["id"] for each in api.get("admin/organisation/domains").json()["data"]] == [str(row.pk)]
    assert Api(make_tenant("Other").admin_key).get(f"admin/organisation/domains/{row.pk}").status_code == 404
    assert Domain.objects.count() == 1
