"""The keys of tokens: given, or published and read again."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from control_plane.core.errors import Denied, Invalid, Missing
from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.core.scopes import ORGANISATION_KEY
from control_plane.keys.authentication import principal_of_key
from control_plane.orgs import tasks
from control_plane.orgs.export import export_token_keys
from control_plane.orgs.models import TokenKeys
from control_plane.orgs.token_keys import MOST_KEYS, read_keys, refresh, refresh_due, remove_token_keys, set_token_keys
from tests.control_plane.factories import make_key, make_tenant
from tests.control_plane.orgs.provider_kit import lying_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def lying(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    with lying_provider() as provider:
        yield provider


def uri(lying):
    return {"jwks_uri": f"{lying.issuer}/k"}


def sections(tenant):
    return [event.sections for event in OutboxEvent.objects.filter(organisation=tenant.organisation).order_by("pk")]


def test_keys_may_be_given_as_they_are(tenant, lying):
    row = set_token_keys(tenant.actor, {"jwks": {"keys": [lying.jwk("b"), lying.jwk("a")]}})
    assert [key["kid"] for key in row.keys] == ["a", "b"]
    assert (row.uri, row.fetched_at, set(row.keys[0])) == ("", None, {"kid", "n", "e"})
    assert sections(tenant)[-1] == ["token_keys"]


def test_published_keys_are_read_when_they_are_set(tenant, lying):
    row = set_token_keys(tenant.actor, uri(lying))
    assert ([key["kid"] for key in row.keys], row.fault) == (["one"], "")
    ((section, row_id, told),) = export_token_keys(tenant.organisation)
    assert (section, row_id, [key.kid for key in told.keys]) == ("token_keys", str(tenant.organisation.pk), ["one"])


@pytest.mark.parametrize("body", [{}, {"jwks": None}, {"jwks": {"keys": []}, "jwks_uri": "https://example.com/k"}])
def test_one_of_both_must_be_given(tenant, body):
    with pytest.raises(Invalid, match="one of them"):
        set_token_keys(tenant.actor, body)


@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/k", "https://10.0.0.1/k", "ftp://example.com/k", "nonsense"]
)
def test_keys_are_not_fetched_from_inside(tenant, address):
    with pytest.raises(Invalid, match="jwks_uri"):
        set_token_keys(tenant.actor, {"jwks_uri": address})
    assert not TokenKeys.objects.exists()


def test_a_private_key_is_refused_and_not_repeated(tenant, lying):
    with pytest.raises(Invalid) as refused:
        set_token_keys(tenant.actor, {"jwks": {"keys": [{**lying.jwk(), "d": "sentinel-private"}]}})
    assert "private" in str(refused.value.detail)
    assert "sentinel" not in str(refused.value.detail)


@pytest.mark.parametrize("change", [
    {"kid": ""}, {"kid": None}, {"kid": "x" * 256}, {"kty": "EC"}, {"use": "enc"}, {"alg": "RS512"}, {"n": "!"}, {"n": None},
    {"e": 3}, {"n": ["x"]},
])  # fmt: skip
def test_a_key_that_cannot_verify_is_refused(lying, change):
    with pytest.raises(Invalid, match=r"keys\[0\]"):
        read_keys({"keys": [{**lying.jwk(), **change}]}, strict=True)


def test_a_short_key_is_refused(lying):
    short = rsa.generate_private_key(65537, 1024)
    with pytest.raises(Invalid, match="2048 bits"):
        read_keys({"keys": [lying.jwk(key=short)]}, strict=True)


def test_of_a_published_set_what_can_be_used_is_used(lying):
    other = {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "x", "y": "y"}
    assert ec.SECP256R1.name == "secp256r1"
    found = read_keys({"keys": [other, lying.jwk(), {**lying.jwk("enc"), "use": "enc"}]}, strict=False)
    assert [key["kid"] for key in found] == ["one"]


def test_a_set_has_a_bound(lying):
    with pytest.raises(Invalid, match="more than"):
        read_keys({"keys": [lying.jwk(f"k{number}") for number in range(MOST_KEYS + 1)]}, strict=True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["keys", "kty", "kid", "n", "e"]), inner)
        ),
        max_leaves=12,
    )
)
def test_whatever_is_published_is_refused_and_nothing_worse(document):
    with pytest.raises(Invalid):
        read_keys(document, strict=False)


def test_a_key_that_may_not_make_keys_may_not_say_which_tokens_are_good(tenant, lying):
    few = principal_of_key(make_key(tenant, ["organisation_settings.update"], key_type=ORGANISATION_KEY).row)
    with pytest.raises(Denied, match=r"workspace_service_api_keys\.create"):
        set_token_keys(few, uri(lying))


def test_a_new_key_of_the_provider_comes_by_itself(tenant, lying):
    set_token_keys(tenant.actor, uri(lying))
    lying.documents["/k"] = {"keys": [lying.jwk(), lying.jwk("two")]}
    before = len(sections(tenant))
    assert refresh_due(timezone.now()) == 0
    later = timezone.now() + timedelta(minutes=6)
    assert refresh_due(later) == 1
    assert [key["kid"] for key in TokenKeys.objects.get().keys] == ["one", "two"]
    assert len(sections(tenant)) == before + 1


def test_keys_that_stay_the_same_are_not_published_again(tenant, lying):
    row = set_token_keys(tenant.actor, uri(lying))
    before = len(sections(tenant))
    assert refresh(row).fetched_at > row.fetched_at
    assert len(sections(tenant)) == before


def test_a_provider_that_is_away_leaves_the_keys_as_they_were(tenant, lying):
    row = set_token_keys(tenant.actor, uri(lying))
    lying.documents["/k"] = b"<html>"
    after = refresh(row)
    assert (after.keys, bool(after.fault)) == (row.keys, True)
    lying.documents["/k"] = {"keys": [lying.jwk()]}
    assert refresh(after).fault == ""


def test_what_was_set_meanwhile_is_not_overwritten(tenant, lying):
    row = set_token_keys(tenant.actor, uri(lying))
    set_token_keys(tenant.actor, {"jwks": {"keys": [lying.jwk("given")]}})
    refresh(row)
    assert [key["kid"] for key in TokenKeys.objects.get().keys] == ["given"]


def test_without_keys_no_token_is_good(tenant, lying):
    set_token_keys(tenant.actor, uri(lying))
    remove_token_keys(tenant.actor)
    assert list(export_token_keys(tenant.organisation)) == []
    with pytest.raises(Missing):
        remove_token_keys(tenant.actor)
    assert [event.action for event in AuditEvent.objects.filter(resource_type="tokenkeys").order_by("pk")] == [
        "create",
        "delete",
    ]


def test_beat_names_the_task_as_it_is_registered():
    assert {entry["task"] for entry in tasks.BEAT_SCHEDULE.values()} == {tasks.refresh_token_keys.name}
    assert tasks.refresh_token_keys() == 0
