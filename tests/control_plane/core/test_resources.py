"""The kit of resources; what every resource owes its callers is in tests/contract."""

import pytest

from control_plane.core.errors import Invalid
from control_plane.core.resources import ReadOnlyViewSet, ResourceViewSet, build_router, choice_of, discover, resource
from tests.control_plane.factories import Api, make_key, make_tenant, make_virtual_key, make_workspace


def test_a_path_can_be_claimed_once():
    with pytest.raises(ValueError, match="/v1/configs"):
        resource("configs")(type("Second", (ReadOnlyViewSet,), {}))


@pytest.mark.parametrize(("path", "scope"), [("virtual-keys", "virtual_keys"), ("admin/workspaces", "workspaces")])
def test_scopes_are_named_after_the_path_unless_said_otherwise(path, scope):
    assert discover()[path].scope == scope


def test_a_resource_that_leaves_out_what_changes_mean_cannot_be_served():
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (ResourceViewSet,), {})()


def test_nested_paths_are_matched_before_the_paths_above_them():
    prefixes = [prefix for prefix, _, _ in build_router().registry]
    users = next(prefix for prefix in prefixes if prefix.endswith("/users"))
    assert prefixes.index(users) < prefixes.index("admin/workspaces")


def test_a_query_chooses_among_what_there_is():
    assert choice_of({"status": "archived"}, "status", ("active", "archived"), "active") == "archived"
    assert (choice_of({}, "status", ("active",), "active"), choice_of({}, "status", ("active",))) == ("active", None)
    with pytest.raises(Invalid, match="status must be one of: active, archived"):
        choice_of({"status": "gone"}, "status", ("active", "archived"))


@pytest.mark.django_db
def test_a_slug_in_two_workspaces_needs_the_workspace():
    tenant = make_tenant()
    team = make_workspace(tenant)
    here, there = make_virtual_key(tenant, "same"), make_virtual_key(tenant, "same", workspace=team)
    api = Api(tenant.admin_key)
    assert here.slug == there.slug
    assert api.get("virtual-keys/same").status_code == 400
    assert api.get("virtual-keys/same", workspace_id=team.slug).json()["id"] == str(there.pk)
    assert Api(make_key(tenant, workspace=team).shown_once()).get("virtual-keys/same").json()["id"] == str(there.pk)
    assert api.delete("virtual-keys/same", query=f"?workspace_id={team.pk}").status_code == 200
    assert api.get("virtual-keys/same").json()["id"] == str(here.pk)


@pytest.mark.django_db
def test_a_list_is_narrowed_to_the_workspace_that_is_named():
    tenant = make_tenant()
    team = make_workspace(tenant)
    make_virtual_key(tenant, "here")
    make_virtual_key(tenant, "there", workspace=team)
    listed = Api(tenant.admin_key).get("virtual-keys", workspace_id=team.slug).json()
    assert [row["slug"] for row in listed["data"]] == ["there"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["configs/", "configs"])
def test_a_trailing_slash_is_accepted(path):
    assert Api(make_tenant().admin_key).get(path).status_code == 200
