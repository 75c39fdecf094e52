"""Labels and collections in the Admin API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.prompts.services import create_collection, create_label
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def names(answer):
    return {row["name"] for row in answer.json()["data"]} - {"production", "staging", "development", "Default"}


def queries_of(api, path):
    api.get(path)  # the first call of a key notes that it was used
    with CaptureQueriesContext(connection) as queries:
        assert api.get(path, page_size=100).status_code == 200
    return len(queries)


def test_a_label_of_the_organisation_is_universal(tenant, api):
    made = api.post("labels", {"name": "ours", "color_code": "#fff", "organisation_id": str(tenant.organisation.pk)})
    assert set(made.json()) == {"id"}
    read = api.get(f"labels/{made.json()['id']}").json()
    assert (read["is_universal"], read["workspace_id"], read["status"]) == (True, None, "active")
    assert (read["organisation_id"], read["color_code"]) == (str(tenant.organisation.pk), "#fff")
    assert api.put(f"labels/{read['id']}", {"description": "d"}).json() == {}
    assert api.delete(f"labels/{read['id']}").json() == {}


def test_a_workspaces_label_is_not_universal(tenant, api):
    made = api.post("labels", {"name": "mine", "workspace_id": tenant.workspace.slug}).json()
    read = api.get(f"labels/{made['id']}").json()
    assert (read["is_universal"], read["workspace_id"]) == (False, str(tenant.workspace.pk))


def test_labels_are_narrowed_by_workspace_organisation_and_name(tenant, api):
    team, organisation_id = make_workspace(tenant), str(tenant.organisation.pk)
    for home, name in ((None, "ours"), (team, "team-one"), (tenant.workspace, "home")):
        create_label(tenant.actor, home, {"name": name})
    assert names(api.get("labels")) == {"ours", "team-one", "home"}
    assert names(api.get("labels", workspace_id=team.slug)) == {"ours", "team-one"}
    assert names(api.get("labels", search="TEAM")) == {"team-one"}
    assert names(api.get("labels", organisation_id=organisation_id, search="o")) == {"ours", "team-one", "home"}
    for spelling in ("organisation_id", "organization_id"):
        assert api.get("labels", **{spelling: str(make_tenant().organisation.pk)}).status_code == 400


def test_a_workspace_key_uses_the_organisations_labels_and_changes_its_own(tenant):
    team = make_workspace(tenant)
    shared = create_label(tenant.actor, None, {"name": "ours"})
    api = Api(make_key(tenant, workspace=team).shown_once())
    made = api.post("labels", {"name": "mine"}).json()
    assert names(api.get("labels")) == {"ours", "mine"}
    assert api.get(f"labels/{made['id']}").json()["workspace_id"] == str(team.pk)
    assert api.put(f"labels/{shared.pk}", {"name": "theirs"}).status_code == 403
    assert api.delete(f"labels/{shared.pk}").status_code == 403
    assert api.delete(f"labels/{made['id']}").status_code == 200
    body = {"name": "more", "organisation_id": str(tenant.organisation.pk)}
    assert api.post("labels", body).status_code == 403
    assert api.post("labels", {"name": "more", "workspace_id": tenant.workspace.slug}).status_code == 400


def test_a_name_that_is_taken_is_a_conflict(tenant, api):
    assert api.post("labels", {"name": "production"}).status_code == 409
    made = api.post("labels", {"name": "mine"}).json()
    assert api.put(f"labels/{made['id']}", {"name": "staging"}).status_code == 409


def test_a_built_in_label_is_refused_deletion_with_a_400(tenant, api):
    row = next(row for row in api.get("labels").json()["data"] if row["name"] == "production")
    assert api.delete(f"labels/{row['id']}").status_code == 400


def test_a_collection_is_made_read_and_listed_with_what_is_in_it(tenant, api):
    outer = api.post("collections", {"name": "Outer", "workspace_id": tenant.workspace.slug}).json()
    assert set(outer) == {"id", "slug"}
    inner = api.post("collections", {"name": "Inner", "parent_collection_id": outer["slug"]}).json()
    read = api.get(f"collections/{outer['slug']}").json()
    assert (read["parent_collection_id"], read["is_default"], read["status"]) == (None, False, "active")
    (child,) = read["child_collections"]
    assert set(child) == {"id", "name", "last_updated_at", "collection_details"}
    assert (child["id"], child["collection_details"]["child_collections_count"]) == (inner["id"], 0)
    listed = {row["name"]: row for row in api.get("collections").json()["data"]}
    details = listed["Outer"]["collection_details"]
    assert (details["child_collections_count"], details["prompts_count"]) == (1, 0)
    assert details["child_collections_last_updated_at"] == child["last_updated_at"]
    assert listed["Inner"]["parent_collection_id"] == outer["id"]
    assert listed["Default"]["is_default"] is True
    assert api.delete(f"collections/{outer['id']}").status_code == 409


def test_collections_are_narrowed_by_workspace_and_name(tenant, api):
    team = make_workspace(tenant)
    for home, name in ((tenant.workspace, "Answers"), (team, "Answers of the team"), (team, "Drafts")):
        create_collection(tenant.actor, home, name)
    assert names(api.get("collections", workspace_id=team.slug)) == {"Answers of the team", "Drafts"}
    assert names(api.get("collections", search="answers")) == {"Answers", "Answers of the team"}
    assert names(Api(make_key(tenant).shown_once()).get("collections")) == {"Answers"}


def test_a_collection_is_renamed_and_moved(tenant, api):
    outer, inner = (api.post("collections", {"name": name}).json() for name in ("Outer", "Inner"))
    assert api.put(f"collections/{inner['id']}", {"name": "In", "parent_collection_id": outer["id"]}).json() == {}
    assert api.get(f"collections/{inner['id']}").json()["parent_collection_id"] == outer["id"]
    assert api.put(f"collections/{outer['id']}", {"parent_collection_id": inner["slug"]}).status_code == 400


def test_the_default_collection_is_refused_deletion_with_a_400(tenant, api):
    assert api.delete("collections/default").status_code == 400


@pytest.mark.parametrize("path", ["labels", "collections"])
def test_a_list_of_many_costs_no_more_queries_than_one_of_few(tenant, api, path):
    def fill(numbers):
        for number in numbers:
            if path == "labels":
                create_label(tenant.actor, tenant.workspace, {"name": f"label-{number}"})
            else:
                parent = create_collection(tenant.actor, tenant.workspace, f"outer {number}")
                create_collection(tenant.actor, tenant.workspace, "inner", parent.slug)

    fill(range(3))
    few = queries_of(api, path)
    fill(range(3, 30))
    assert queries_of(api, path) == few


def test_reading_a_collection_costs_no_more_queries_when_there_is_more_in_it(tenant, api):
    outer = create_collection(tenant.actor, tenant.workspace, "outer")
    counts = []
    for _ in range(2):
        for _ in range(5):
            create_collection(tenant.actor, tenant.workspace, "inner", outer.slug)
        counts.append(queries_of(api, f"collections/{outer.pk}"))
    assert counts[0] == counts[1]
