"""What an organisation demands, and who may say so."""

import pytest

from control_plane.accounts.models import SignIn
from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.models import AuditEvent
from control_plane.orgs.domains import claim_domain, confirm_domain, remove_domain
from control_plane.orgs.models import IdentityProvider
from control_plane.orgs.services import principal_of_user
from control_plane.orgs.sign_in_rules import password_is_forbidden, provider_for, rules_json, rules_of, set_rules
from control_plane.orgs.sso import remove_provider
from tests.control_plane.factories import make_member, make_tenant
from tests.control_plane.ui.page_kit import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    tenant = make_tenant()
    IdentityProvider.objects.create(organisation=tenant.organisation, issuer="https://login.example", client_id="c")
    confirm_domain(tenant.actor, claim_domain(tenant.actor, "corp.example"))
    return tenant


def test_nothing_is_demanded_at_first():
    assert set(rules_json(rules_of(make_tenant().organisation.pk)).values()) == {False}


def test_a_change_names_only_what_changes_and_is_told(tenant):
    set_rules(tenant.actor, {"require_second_factor": True})
    set_rules(tenant.actor, {"sso_only": True})
    rules = rules_of(tenant.organisation.pk)
    assert (rules.require_second_factor, rules.sso_only, rules.disable_auto_provision_user) == (True, True, False)
    assert AuditEvent.objects.filter(resource_type="signinrules", action="update").count() == 2


def test_admins_do_not_change_how_owners_sign_in(tenant):
    admin = principal_of_user(make_member(tenant, "admin"))
    for attempt in (lambda: set_rules(admin, {"sso_only": True}), lambda: remove_provider(admin)):
        with pytest.raises(Denied):
            attempt()


def test_nobody_locks_everybody_out():
    tenant = make_tenant()
    with pytest.raises(Invalid):
        set_rules(tenant.actor, {"sso_only": True})
    IdentityProvider.objects.create(organisation=tenant.organisation, issuer="https://login.example", client_id="c")
    with pytest.raises(Invalid):
        set_rules(tenant.actor, {"sso_only": True})


def test_what_single_sign_on_rests_on_stays_while_it_is_the_only_way(tenant):
    set_rules(tenant.actor, {"sso_only": True})
    with pytest.raises(Conflict):
        remove_provider(tenant.actor)
    with pytest.raises(Conflict):
        remove_domain(tenant.actor, tenant.organisation.domain_set.get())
    set_rules(tenant.actor, {"sso_only": False})
    remove_provider(tenant.actor)
    assert provider_for("a@corp.example") is None


def test_forbidding_passwords_ends_what_they_opened(tenant):
    member, owner, guest = (
        make_member(tenant, role, email)
        for role, email in (
            ("member", "m@corp.example"),
            ("owner", "o@corp.example"),
            ("member", "g@elsewhere.example"),
        )
    )
    browsers = [signed_in(user) for user in (member, owner, guest)]
    set_rules(tenant.actor, {"sso_only": True})
    assert [client.get("/account").status_code for client in browsers] == [302, 200, 200]
    assert [password_is_forbidden(user) for user in (member, owner, guest)] == [True, False, False]
    assert SignIn.objects.count() == 2


def test_only_a_verified_domain_of_an_active_organisation_has_a_provider(tenant):
    assert provider_for("A@Corp.Example").organisation_id == tenant.organisation.pk
    assert provider_for("a@sub.corp.example") is None
    claim_domain(make_tenant().actor, "claimed.example")
    assert provider_for("a@claimed.example") is None
    tenant.organisation.status = "archived"
    tenant.organisation.save()
    assert provider_for("a@corp.example") is None
