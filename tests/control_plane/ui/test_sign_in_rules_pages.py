"""Owners set how people sign in; admins look."""

import pytest

from control_plane.orgs.domains import claim_domain
from control_plane.orgs.models import Domain, IdentityProvider
from control_plane.orgs.sign_in_rules import rules_of
from tests.control_plane.factories import make_member, make_tenant
from tests.control_plane.orgs.provider_kit import lying_provider
from tests.control_plane.ui.page_kit import Page, signed_in

pytestmark = pytest.mark.django_db
SECRET = "client-secret-0123456789"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def owner(tenant):
    return signed_in(make_member(tenant, "owner"))


@pytest.fixture
def issuer(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    with lying_provider() as provider:
        yield provider.issuer


def given(issuer, **changed):
    return {
        "issuer": issuer,
        "client_id": "c",
        "client_secret": SECRET,
        "token_endpoint_auth_method": "client_secret_basic",
        "is_enabled": "on",
        **changed,
    }


def test_rules_are_set_and_shown(owner, tenant):
    assert owner.post("/people/sign-in/rules", {"require_second_factor": "on"})["location"] == "/people/sign-in"
    rules = rules_of(tenant.organisation.pk)
    assert (rules.require_second_factor, rules.sso_only) == (True, False)


def test_what_would_lock_people_out_is_refused_in_words(owner):
    answer = owner.post("/people/sign-in/rules", {"sso_only": "on"})
    assert (answer.status_code, "verify a domain first" in Page(answer).text) == (400, True)


def test_a_provider_is_set_and_its_secret_never_shown(owner, tenant, issuer):
    assert owner.post("/people/sign-in/provider", given(issuer))["location"] == "/people/sign-in"
    provider = IdentityProvider.objects.get()
    assert (provider.issuer, provider.opened().reveal()) == (issuer, SECRET)
    for path in ("/people/sign-in", "/people/sign-in/provider"):
        assert SECRET not in owner.get(path).content.decode()
    assert owner.post("/people/sign-in/provider", given(issuer, client_secret="", client_id="d")).status_code == 302
    provider.refresh_from_db()
    assert (provider.client_id, provider.opened().reveal()) == ("d", SECRET)
    assert owner.post("/people/sign-in/provider/remove").status_code == 302
    assert not IdentityProvider.objects.exists()


def test_a_secret_is_not_sent_to_another_issuer_than_it_was_given_for(owner, issuer):
    owner.post("/people/sign-in/provider", given(issuer))
    with lying_provider() as other:
        answer = owner.post("/people/sign-in/provider", given(other.issuer, client_secret=""))
    assert (answer.status_code, IdentityProvider.objects.get().issuer) == (400, issuer)


@pytest.mark.parametrize(
    "named", ["http://login.example.com", "https://169.254.169.254", "nonsense", "http://127.0.0.1:1"]
)
def test_an_issuer_that_cannot_be_used_is_refused_and_the_secret_not_repeated(owner, issuer, named):
    answer = owner.post("/people/sign-in/provider", given(named))
    assert (answer.status_code, SECRET in answer.content.decode()) == (400, False)
    assert not IdentityProvider.objects.exists()


def test_domains_are_claimed_and_removed(owner, tenant):
    assert owner.post("/people/sign-in/domains", {"name": "corp.example"}).status_code == 302
    row = Domain.objects.get()
    text = Page(owner.get("/people/sign-in")).text
    assert "_gatehouse.corp.example" in text
    assert f"gatehouse-verification={row.token}" in text
    assert owner.post("/people/sign-in/domains", {"name": "nonsense"}).status_code == 400
    assert owner.post(f"/people/sign-in/domains/{row.pk}/remove").status_code == 302
    assert not Domain.objects.exists()


def test_name_servers_that_do_not_answer_are_told_so(owner, tenant, settings, monkeypatch):
    monkeypatch.setattr("control_plane.orgs.domains.DNS_DEADLINE_S", 0.2)
    settings.DNS_SERVERS = ("127.0.0.1:1",)
    row = claim_domain(tenant.actor, "corp.example")
    answer = owner.post(f"/people/sign-in/domains/{row.pk}/verify")
    assert (answer.status_code, "no answer" in Page(answer).text) == (400, True)


def test_admins_look_and_change_nothing(tenant, issuer):
    admin = signed_in(make_member(tenant, "admin"))
    row = claim_domain(tenant.actor, "corp.example")
    assert "Only an owner" in Page(admin.get("/people/sign-in")).text
    answers = [
        admin.post("/people/sign-in/rules", {"require_second_factor": "on"}),
        admin.post("/people/sign-in/provider", given(issuer)),
        admin.post("/people/sign-in/provider/remove"),
        admin.post("/people/sign-in/domains", {"name": "b.example"}),
        admin.post(f"/people/sign-in/domains/{row.pk}/verify"),
        admin.post(f"/people/sign-in/domains/{row.pk}/remove"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 6
    assert (Domain.objects.count(), IdentityProvider.objects.count()) == (1, 0)


def test_another_organisations_domain_is_not_found(owner):
    row = claim_domain(make_tenant().actor, "corp.example")
    assert owner.post(f"/people/sign-in/domains/{row.pk}/remove").status_code == 404
    assert owner.post("/people/sign-in/domains/x/verify").status_code == 404
