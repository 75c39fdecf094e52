"""Entity tags, and changes that name one."""

import pytest

from control_plane.catalog.services import update_integration
from control_plane.core.changes import version_of
from control_plane.orgs.models import WorkspaceMembership
from control_plane.orgs.services import add_workspace_user
from tests.control_plane.factories import Api, make_config, make_member, make_tenant, make_virtual_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def send(api, method, path, body=None, **headers):
    call = getattr(api.client, method)
    return call(f"/v1/{path}", body or {}, content_type="application/json", headers=headers)


def test_the_first_of_two_who_read_the_same_wins(tenant, api):
    config = make_config(tenant)
    tag = api.get(f"configs/{config.slug}").headers["etag"]
    first = send(api, "put", f"configs/{config.slug}", {"name": "mine"}, **{"if-match": tag})
    second = send(api, "put", f"configs/{config.slug}", {"name": "yours"}, **{"if-match": tag})
    assert (first.status_code, second.status_code) == (200, 412)
    assert second.json()["data"] == {
        "message": "The object was changed meanwhile: read it again.", "errorCode": "AB07",
    }  # fmt: skip
    assert api.get(f"configs/{config.slug}").json()["name"] == "mine"


def test_one_of_several_tags_suffices(tenant, api):
    config = make_config(tenant)
    tag = api.get(f"configs/{config.slug}").headers["etag"]
    answer = send(api, "put", f"configs/{config.slug}", {"name": "n"}, **{"if-match": f'"other", {tag}'})
    assert answer.status_code == 200


def test_a_weak_tag_never_matches(tenant, api):
    config = make_config(tenant)
    tag = api.get(f"configs/{config.slug}").headers["etag"]
    assert send(api, "delete", f"configs/{config.slug}", **{"if-match": f"W/{tag}"}).status_code == 412


def test_a_missing_row_is_missing_whatever_the_tag(api):
    assert send(api, "put", "configs/nothing", {"name": "n"}, **{"if-match": "*"}).status_code == 404


def test_a_stale_tag_stops_what_lies_below_a_row_too(tenant, api):
    key = api.get("api-keys").json()["data"][0]["id"]
    assert send(api, "post", f"api-keys/{key}/rotate", **{"if-match": '"stale"'}).status_code == 412


def test_a_change_of_what_callers_see_as_part_of_a_row_changes_its_tag(tenant, api):
    row = make_virtual_key(tenant)
    before = api.get(f"virtual-keys/{row.slug}").headers["etag"]
    update_integration(tenant.actor, row.integration, {"key": None, "note": "other"})
    assert api.get(f"virtual-keys/{row.slug}").headers["etag"] != before


def test_a_row_that_does_not_know_when_it_changed_is_told_by_its_columns(tenant):
    member = WorkspaceMembership(workspace=tenant.workspace, role="member", user_id=tenant.workspace.pk)
    before = version_of(member)
    assert version_of(member) == before
    member.role = "admin"
    assert version_of(member) != before


def test_people_have_versions_too(tenant, api):
    user = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, user.pk, "member")
    for path in (f"admin/users/{user.pk}", f"admin/workspaces/{tenant.workspace.slug}/users/{user.pk}"):
        tag = api.get(path).headers["etag"]
        assert send(api, "put", path, {"role": "admin"}, **{"if-match": '"stale"'}).status_code == 412
        assert send(api, "put", path, {"role": "admin"}, **{"if-match": tag}).status_code == 200
        assert send(api, "delete", path, **{"if-match": tag}).status_code == 412
