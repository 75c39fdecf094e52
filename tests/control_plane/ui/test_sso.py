"""A browser goes to a real OpenID provider and comes back signed in: real processes, a real HTTP client."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from control_plane.accounts.models import SignIn, User
from control_plane.core.models import AuditEvent
from control_plane.orgs.domains import claim_domain, confirm_domain
from control_plane.orgs.invites import create_invite
from control_plane.orgs.models import DepartedMember, ExternalIdentity, IdentityProvider, Membership
from control_plane.orgs.people import remove_member
from control_plane.orgs.services import add_workspace_user
from control_plane.orgs.sign_in_rules import set_rules
from control_plane.orgs.sso import set_provider
from shared.redact import Secret
from tests.control_plane.accounts.people_kit import PASSWORD, with_password, with_second_factor
from tests.control_plane.factories import make_member, make_tenant
from tests.fakes.identity_provider import identity_provider

pytestmark = pytest.mark.django_db(transaction=True)
EMAIL = "ada@corp.example"


@pytest.fixture(scope="module")
def idp():
    with identity_provider() as provider:
        yield provider


@pytest.fixture
def tenant(live_server, settings, idp):
    settings.PUBLIC_URL = live_server.url
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    tenant = make_tenant()
    make_member(tenant, "owner", "owner@elsewhere.example")
    confirm_domain(tenant.actor, claim_domain(tenant.actor, "corp.example"))
    connect(tenant, idp)
    idp.person("ada", email=EMAIL, email_verified=True, given_name="Ada", family_name="L")
    return tenant


def connect(tenant, idp, method="client_secret_basic", secret=None):
    client_id, right = idp.register(f"{settings_url()}/sso/callback", method)
    given = {"issuer": idp.issuer, "client_id": client_id, "token_endpoint_auth_method": method, "is_enabled": True}
    return set_provider(tenant.actor, given, Secret(secret or right))


def settings_url():
    from django.conf import settings

    return settings.PUBLIC_URL


@pytest.fixture
def browser(live_server):
    with httpx.Client(base_url=live_server.url, follow_redirects=False) as client:
        yield client


def begin(browser, email=EMAIL, onward="/account"):
    """Type an address on the sign-in page; where the page leads."""
    page = browser.get("/login", params={"next": onward})
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    answer = browser.post("/login", data={"csrfmiddlewaretoken": token, "email": email, "next": onward})
    assert answer.status_code == 200
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    return found[1].replace("&amp;", "&") if found else None


def at_provider(browser, start, subject="ada"):
    """Follow to the provider and consent there; the address that it sends the browser back to."""
    away = browser.get(start)
    assert away.status_code == 302
    return browser.post(away.headers["location"], data={"sub": subject}).headers["location"]


def come_in(browser, subject="ada", **begun):
    return browser.get(at_provider(browser, begin(browser, **begun), subject))


def is_in(browser):
    return browser.get("/account").status_code == 200


def test_an_address_of_the_domain_is_sent_to_the_provider_and_comes_back_as_a_member(tenant, browser):
    start = begin(browser)
    assert start.startswith(f"/sso/{tenant.organisation.pk}?")
    sent = urlsplit(browser.get(start).headers["location"])
    asked = {name: values[0] for name, values in parse_qs(sent.query).items()}
    assert (asked["scope"], asked["code_challenge_method"], asked["login_hint"]) == (
        "openid profile email",
        "S256",
        EMAIL,
    )
    answer = come_in(browser)
    assert (answer.status_code, answer.headers["location"]) == (302, "/account")
    assert is_in(browser)
    user = User.objects.get(email=EMAIL)
    assert (user.full_name, user.has_usable_password()) == ("Ada L", False)
    assert Membership.objects.get(user=user).role == "member"
    row = SignIn.objects.get()
    assert (row.method, row.organisation_id) == ("sso", tenant.organisation.pk)
    assert AuditEvent.objects.filter(action="sign_in", after__method="sso").count() == 1


def test_an_address_of_no_domain_is_asked_for_a_password(tenant, browser):
    assert begin(browser, "bob@elsewhere.example") is None


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_the_secret_is_sent_as_the_provider_wants_it(tenant, browser, idp, method):
    connect(tenant, idp, method)
    assert come_in(browser).status_code == 302
    assert is_in(browser)


def test_a_wrong_secret_opens_nothing(tenant, browser, idp):
    connect(tenant, idp, secret="wrong")
    assert (come_in(browser).status_code, is_in(browser)) == (403, False)


def test_coming_back_a_second_time_is_the_same_person_even_with_a_new_address(tenant, browser, idp):
    come_in(browser)
    idp.person("ada", email="countess@corp.example", email_verified=True)
    browser.cookies.clear()
    come_in(browser)
    assert SignIn.objects.count() == 2
    assert {row.user.email for row in SignIn.objects.all()} == {EMAIL}
    assert ExternalIdentity.objects.count() == 1


def test_the_answer_works_in_the_browser_that_asked_and_once(tenant, browser, live_server):
    back = at_provider(browser, begin(browser))
    with httpx.Client(base_url=live_server.url) as thief:
        assert thief.get(back).status_code == 400
        assert not is_in(thief)
    assert browser.get(back).status_code == 302
    assert browser.get(back).status_code == 400


def test_a_state_that_was_changed_is_refused(tenant, browser):
    back = at_provider(browser, begin(browser))
    assert browser.get(re.sub(r"state=[^&]+", "state=mine", back)).status_code == 400
    assert not is_in(browser)


def test_a_code_of_another_sign_in_is_refused(tenant, browser, live_server):
    with httpx.Client(base_url=live_server.url) as attacker:
        stolen = parse_qs(urlsplit(at_provider(attacker, begin(attacker))).query)["code"][0]
    mine = at_provider(browser, begin(browser))
    # The verifier of this browser does not fit the challenge of the other.
    assert browser.get(re.sub(r"code=[^&]+", f"code={stolen}", mine)).status_code == 403
    assert not is_in(browser)


def test_who_says_no_at_the_provider_is_told_so(tenant, browser):
    away = browser.get(begin(browser)).headers["location"]
    back = browser.post(away, data={"action": "deny", "sub": "ada"}).headers["location"]
    state = parse_qs(urlsplit(away).query)["state"][0]
    assert browser.get(f"{back}&state={state}").status_code == 403


@pytest.mark.parametrize(
    "claims",
    [{"email": EMAIL, "email_verified": False}, {"email": "eve@elsewhere.example", "email_verified": True}, {},
     {"email": "no address", "email_verified": True}, {"email": "owner@elsewhere.example", "email_verified": True}],
)  # fmt: skip
def test_a_provider_speaks_for_verified_addresses_of_its_own_domains_only(tenant, browser, idp, claims):
    idp.person("eve", **claims)
    assert (come_in(browser, "eve").status_code, is_in(browser)) == (403, False)
    assert not ExternalIdentity.objects.exists()


def test_an_address_that_was_given_to_somebody_else_is_not_theirs(tenant, browser, idp):
    come_in(browser)
    browser.cookies.clear()
    idp.person("heir", email=EMAIL, email_verified=True)
    assert (come_in(browser, "heir").status_code, is_in(browser)) == (403, False)


def test_by_invite_only_nobody_becomes_a_member_by_themselves(tenant, browser):
    set_rules(tenant.actor, {"disable_auto_provision_user": True})
    assert come_in(browser).status_code == 403
    assert not User.objects.filter(email=EMAIL).exists()


def test_a_pending_invite_is_accepted_with_its_role_and_its_keys(tenant, browser):
    set_rules(tenant.actor, {"disable_auto_provision_user": True})
    wanted = [{"id": tenant.workspace.slug, "role": "manager"}]
    create_invite(tenant.actor, EMAIL, "admin", workspaces=wanted, key_scopes=["logs.list"])
    answer = come_in(browser)
    assert answer.status_code == 200
    assert re.search(r"gh-\w{60}", answer.text)
    assert Membership.objects.get(user__email=EMAIL).role == "admin"


def test_who_was_removed_does_not_come_back_by_themselves(tenant, browser):
    come_in(browser)
    remove_member(tenant.actor, Membership.objects.get(user__email=EMAIL))
    assert not is_in(browser)
    assert come_in(browser).status_code == 403
    create_invite(tenant.actor, EMAIL, "member")
    assert come_in(browser).status_code == 302
    assert not DepartedMember.objects.exists()


def test_a_sign_in_reaches_the_providers_organisation_only(tenant, browser):
    other = make_tenant("Other")
    user = make_member(other, "owner", EMAIL)
    create_invite(tenant.actor, EMAIL, "admin")
    come_in(browser)
    page = browser.get("/people").text
    assert tenant.organisation.name in page
    assert other.organisation.name not in page
    Membership.objects.filter(organisation=tenant.organisation, user=user).delete()
    assert browser.get("/people").status_code == 403


def test_an_account_that_somebody_made_beforehand_is_taken_from_them(tenant, browser):
    squatter = with_password(make_member(make_tenant("Other"), "owner", EMAIL))
    with_second_factor(squatter)
    come_in(browser)
    squatter.refresh_from_db()
    assert not squatter.has_usable_password()
    assert not hasattr(User.objects.get(pk=squatter.pk), "second_factor")


def test_a_member_keeps_the_password_that_they_have(tenant, browser):
    user = with_password(make_member(tenant, "member", EMAIL))
    come_in(browser)
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_where_single_sign_on_is_the_only_way_passwords_of_the_domain_do_not_open_save_owners(tenant, browser, client):
    member = with_password(make_member(tenant, "member", EMAIL))
    owner = with_password(make_member(tenant, "owner", "boss@corp.example"))
    set_rules(tenant.actor, {"sso_only": True})
    refused = client.post("/login", {"email": member.email, "password": PASSWORD})
    unknown = client.post("/login", {"email": "nobody@corp.example", "password": PASSWORD})
    assert (refused.status_code, re.sub(r'value="[^"]*"', "", refused.text)) == (
        400,
        re.sub(r'value="[^"]*"', "", unknown.text),
    )
    assert client.post("/login", {"email": owner.email, "password": PASSWORD}).status_code == 302
    assert come_in(browser).status_code == 302


def test_single_sign_on_counts_as_a_second_factor(tenant, browser):
    add_workspace_user(tenant.actor, tenant.workspace, make_member(tenant, "member", EMAIL).pk, "member")
    set_rules(tenant.actor, {"require_second_factor": True})
    come_in(browser)
    assert browser.get("/logs").status_code == 200


def test_a_provider_that_is_off_or_away_says_so(tenant, browser):
    start = begin(browser)
    IdentityProvider.objects.update(issuer="http://127.0.0.1:1")
    assert browser.get(start).status_code == 502
    IdentityProvider.objects.update(is_enabled=False)
    assert browser.get(start).status_code == 404
    assert begin(browser) is None


def test_onward_never_leads_to_another_site(tenant, browser):
    assert come_in(browser, onward="https://evil.example/").headers["location"] == "/"
