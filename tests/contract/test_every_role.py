"""Which role may do what, by every operation of the Admin API, as signed-in people call it."""

import re

import pytest
from django.test import Client

from control_plane.core.openapi import operations
from control_plane.core.roles import ALL_SWITCHES
from control_plane.core.scopes import ORGANISATION_ONLY
from control_plane.orgs.access import set_access
from control_plane.orgs.services import add_workspace_user, principal_of_user
from tests.control_plane.factories import make_member, make_tenant, make_workspace
from tests.control_plane.ui.page_kit import signed_in

pytestmark = pytest.mark.django_db
#: What only an owner may do, whatever the scopes say: who chooses how people sign in can sign in as anybody.
OWNERS_ONLY = re.compile(r"/admin/organisation/(sign-in-rules|identity-provider|domains)")
OPERATIONS = [each for each in operations() if not (each.is_change and OWNERS_ONLY.search(each.path))]
LOOKING = {"list", "read", "view"}
KEYS = {"workspace_service_api_keys", "workspace_user_api_keys", "organisation_service_api_keys"}


@pytest.fixture
def tenant():
    return make_tenant()


def browser(tenant, role, workspace_role=None):
    """A signed-in person: (client, user)."""
    user = make_member(tenant, role)
    if workspace_role:
        add_workspace_user(tenant.actor, tenant.workspace, user.pk, workspace_role)
    return signed_in(user), user


def asked(client, operation):
    """The status of a call without a body, about a row that nobody has."""
    path = operation.path.replace("{owner}/{use}", "workspace/service")
    path = re.sub(r"\{\w+\}", "018f0000-0000-7000-8000-000000000000", path)
    return client.generic(operation.method.upper(), f"/v1{path}", "{}", content_type="application/json")


def name(operation):
    return f"{operation.method} {operation.path}"


def may_look(scope):
    resource, _, verb = scope.partition(".")
    return verb in LOOKING and resource not in KEYS and scope not in ORGANISATION_ONLY


#: What the contract says of each role: of the scopes that an operation asks for, which does the role have?
ROLES = {
    ("owner", None): lambda scope: True,
    ("admin", None): lambda scope: True,
    ("member", "admin"): lambda scope: scope not in ORGANISATION_ONLY and not scope.startswith("organisation_"),
    ("member", "manager"): lambda scope: scope not in ORGANISATION_ONLY and not scope.startswith("organisation_"),
    ("member", "member"): lambda scope: may_look(scope) and not scope.startswith("organisation_"),
    ("member", None): lambda scope: False,
}


@pytest.mark.parametrize(("role", "workspace_role"), ROLES)
def test_a_role_may_do_what_the_contract_says_and_nothing_else(tenant, role, workspace_role):
    client, _ = browser(tenant, role, workspace_role)
    has = ROLES[role, workspace_role]
    wrong = []
    for operation in OPERATIONS:
        expected = any(has(scope) for scope in operation.scopes)
        status = asked(client, operation).status_code
        if (status != 403) is not expected or status >= 500 or status == 401:
            wrong.append((name(operation), status))
    assert wrong == []


@pytest.mark.parametrize("workspace_role", ["manager", "member"])
@pytest.mark.parametrize("is_on", [True, False])
def test_the_permission_function_answers_as_the_api_does_whatever_is_switched(tenant, workspace_role, is_on):
    set_access(tenant.actor, tenant.organisation, dict.fromkeys(ALL_SWITCHES, is_on))
    client, user = browser(tenant, "member", workspace_role)
    principal = principal_of_user(user)
    wrong = []
    for operation in OPERATIONS:
        verdicts = [principal.why_not(scope, tenant.workspace.pk) for scope in operation.scopes]
        refused = [verdict for verdict in verdicts if not verdict.allowed]
        if any(not verdict.rule or not verdict.changed_by for verdict in refused):
            wrong.append((name(operation), "does not say why"))
        answer = asked(client, operation)
        if (answer.status_code != 403) is not (len(refused) < len(verdicts)):
            wrong.append((name(operation), answer.status_code))
        elif answer.status_code == 403 and not any(
            verdict.rule in answer.json()["data"]["message"] for verdict in refused
        ):
            wrong.append((name(operation), answer.json()["data"]["message"]))
    assert wrong == []


def test_what_a_role_may_in_one_workspace_it_may_not_in_another(tenant):
    client, user = browser(tenant, "member", "manager")
    other = make_workspace(tenant)
    add_workspace_user(tenant.actor, other, user.pk, "member")
    for path, body in (
        ("configs", {"name": "c", "config": {"retry": {"attempts": 1}}}),
        ("virtual-keys", {"name": "v", "provider": "openai", "key": "sk-1"}),
        ("api-keys/workspace/service", {"name": "k", "scopes": ["completions.write"]}),
    ):
        own = client.post(
            f"/v1/{path}", {**body, "workspace_id": str(tenant.workspace.pk)}, content_type="application/json"
        )
        theirs = client.post(f"/v1/{path}", {**body, "workspace_id": str(other.pk)}, content_type="application/json")
        assert (own.status_code, theirs.status_code in {400, 403}) == (200, True), own.content


def test_changes_of_a_browser_need_the_token_against_forged_requests(tenant):
    client, user = browser(tenant, "owner")
    strict = signed_in(user, enforce_csrf_checks=True)
    body = {"name": "c", "config": {"retry": {"attempts": 1}}}
    assert strict.post("/v1/configs", body, content_type="application/json").status_code == 403
    assert strict.get("/v1/configs").status_code == 200
    token = strict.get("/keys/new").context["csrf_token"]
    sent = strict.post("/v1/configs", body, content_type="application/json", headers={"x-csrftoken": str(token)})
    assert sent.status_code == 200
    assert client.post("/v1/configs", body, content_type="application/json").status_code == 200


def test_a_stranger_and_one_of_no_organisation_may_do_nothing(tenant):
    client, user = browser(tenant, "member", "manager")
    user.memberships.all().delete()
    assert client.get("/v1/configs").status_code == 403
    assert Client().get("/v1/configs").status_code == 401


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_only_an_owner_says_how_people_sign_in(tenant, role):
    client, _ = browser(tenant, role)
    changed = client.put(
        "/v1/admin/organisation/sign-in-rules", {"require_second_factor": False}, content_type="application/json"
    )
    claimed = client.post("/v1/admin/organisation/domains", {"name": "corp.example"}, content_type="application/json")
    expected = 200 if role == "owner" else 403
    assert (changed.status_code, claimed.status_code) == (expected, expected)
