"""Workspaces in which the organisation's default guardrails do not hold."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.core.models import AuditEvent
from control_plane.orgs.models import Workspace
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db
PATH = "workspace-exclusions/input-guardrails"
each_kind = pytest.mark.parametrize("kind", ["input", "output"])


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def excluded(answer):
    assert answer.status_code == 200, answer.content
    return {row["workspace_id"] for row in answer.json()["workspaces"] if row["excluded"]}


def body(*rows, **more):
    return {"workspaces": [{"workspace_id": str(named), "excluded": is_out} for named, is_out in rows], **more}


@each_kind
def test_no_workspace_is_excluded_at_first(tenant, api, kind):
    team = make_workspace(tenant)
    make_workspace(make_tenant())
    told = api.get(f"workspace-exclusions/{kind}-guardrails").json()
    assert told["organisation_id"] == str(tenant.organisation.pk)
    ids = {str(tenant.workspace.pk), str(team.pk)}
    assert told["workspaces"] == [{"workspace_id": each, "excluded": False} for each in sorted(ids)]


@each_kind
def test_workspaces_are_excluded_by_id_or_slug_for_one_kind(tenant, api, kind):
    team, other = make_workspace(tenant), make_workspace(tenant)
    path = f"workspace-exclusions/{kind}-guardrails"
    rows = body((team.pk, True), (other.slug, True), organisation_id=str(tenant.organisation.pk))
    assert excluded(api.put(path, rows)) == {str(team.pk), str(other.pk)}
    unlike = {"input": "output", "output": "input"}[kind]
    assert excluded(api.get(f"workspace-exclusions/{unlike}-guardrails")) == set()


def test_what_is_left_out_stays_unless_everything_is_overridden(tenant, api):
    team, other = make_workspace(tenant), make_workspace(tenant)
    api.put(PATH, body((team.slug, True)))
    assert excluded(api.put(PATH, body((other.slug, True)))) == {str(team.pk), str(other.pk)}
    assert excluded(api.put(PATH, body((other.slug, False)))) == {str(team.pk)}
    assert excluded(api.put(PATH, body((other.slug, True), override_existing=True))) == {str(other.pk)}
    assert excluded(api.put(PATH, body(override_existing=True))) == set()


def test_each_workspace_that_changes_is_in_the_trail(tenant, api):
    team = make_workspace(tenant)
    for _ in range(2):
        api.put(PATH, body((team.slug, True), (tenant.workspace.slug, False)))
    (event,) = AuditEvent.objects.filter(action="update", resource_type="workspace")
    assert (event.resource_id, event.before, event.after) == (
        str(team.pk), {"excludes_input_guardrails": False}, {"excludes_input_guardrails": True},
    )  # fmt: skip


def test_nothing_changes_when_one_of_them_is_no_workspace(tenant, api):
    team, foreign = make_workspace(tenant), make_tenant().workspace
    for named in (foreign.pk, foreign.slug, "ws-nothing"):
        answer = api.put(PATH, body((team.slug, True), (named, True)))
        assert answer.status_code == 400
        assert answer.json()["data"]["message"] == "workspaces.1.workspace_id: no such workspace"
    assert not Workspace.objects.filter(excludes_input_guardrails=True).exists()


def test_a_workspace_is_named_once(tenant, api):
    answer = api.put(PATH, body((tenant.workspace.slug, True), (tenant.workspace.pk, False)))
    assert (answer.status_code, "twice" in answer.json()["data"]["message"]) == (400, True)


@pytest.mark.parametrize(
    "given", [{}, {"workspaces": "x"}, {"workspaces": [{}]}, {"workspaces": [{"workspace_id": "x"}]}]
)
def test_a_body_that_says_nothing_is_refused(api, given):
    assert api.put(PATH, given).status_code == 400


def test_another_organisation_cannot_be_named(tenant, api):
    foreign = str(make_tenant().organisation.pk)
    assert api.put(PATH, body(organisation_id=foreign)).status_code == 400
    assert api.get(PATH, organisation_id=foreign).status_code == 400
    assert api.get(PATH, organisation_id=str(tenant.organisation.pk)).status_code == 200


def test_only_the_scopes_of_exclusions_reach_them(tenant):
    reader = Api(make_key(tenant, ["organisation_exclusions.list"], key_type="organisation-service").shown_once())
    assert (reader.get(PATH).status_code, reader.put(PATH, body()).status_code) == (200, 403)
    assert Api(make_key(tenant).shown_once()).get(PATH).status_code == 403
    assert Api().get(PATH).status_code == 401


def test_many_workspaces_cost_no_more_queries_than_few(tenant, api):
    counts = []
    api.get(PATH)  # the first call of a key notes that it was used
    for _ in range(2):
        for _ in range(5):
            make_workspace(tenant)
        with CaptureQueriesContext(connection) as queries:
            api.get(PATH)
        counts.append(len(queries))
    assert counts[0] == counts[1]
