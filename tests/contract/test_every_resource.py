"""What every resource of the Admin API owes its callers, whichever they are."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.core.openapi import operations
from control_plane.core.scopes import ORGANISATION_KEY
from tests.contract.resource_kit import ALL, TOP, WHOLE, create_path, example, make, make_row, path_of
from tests.control_plane.factories import Api, make_key, make_tenant

pytestmark = pytest.mark.django_db
every = pytest.mark.parametrize("path", sorted(TOP))
every_whole = pytest.mark.parametrize("path", sorted(WHOLE))


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def row_path(path):
    """Where a row of the resource would be; of what there is only one, it is the resource itself."""
    return f"{path}/anything" if hasattr(ALL[path], "retrieve") else path


def code(answer):
    body = answer.json()
    assert body["success"] is False
    assert body["error"]["message"] == body["data"]["message"]
    return answer.status_code, body["data"]["errorCode"]


def test_the_resources_of_this_version_are_all_there():
    kinds = {"admin/workspaces", "api-keys", "configs", "custom-providers", "integrations", "providers", "virtual-keys"}
    assert kinds <= set(WHOLE)


@every_whole
def test_a_resource_has_examples(path):
    assert WHOLE[path].example
    assert WHOLE[path].example_change


@every_whole
def test_what_was_made_is_read_and_listed(path, tenant, api):
    row_id = make(path, tenant)
    assert api.get(f"{path}/{row_id}").json()["id"] == row_id
    listed = api.get(path).json()
    assert listed["object"] == "list"
    assert row_id in {row["id"] for row in listed["data"]}
    assert listed["total"] >= 1


@every_whole
def test_a_change_is_seen_by_the_next_read(path, tenant, api):
    row_id = make(path, tenant)
    changes = WHOLE[path].example_change
    assert api.put(f"{path}/{row_id}", changes).status_code == 200
    read = api.get(f"{path}/{row_id}").json()
    plain = {name: value for name, value in changes.items() if name not in {"key", "defaults"}}
    assert {name: read[name] for name in plain} == plain


@every_whole
def test_what_was_deleted_is_gone(path, tenant, api):
    row_id = make(path, tenant)
    assert isinstance(api.delete(f"{path}/{row_id}", {"name": "ignored"}).json(), dict)
    assert code(api.get(f"{path}/{row_id}")) == (404, "AB08")
    assert code(api.delete(f"{path}/{row_id}")) == (404, "AB08")


@every_whole
def test_every_change_leaves_an_audit_row_and_an_outbox_row(path, tenant, api):
    row_id = make(path, tenant)
    api.put(f"{path}/{row_id}", WHOLE[path].example_change)
    api.delete(f"{path}/{row_id}")
    actions = set(AuditEvent.objects.filter(resource_id=row_id).values_list("action", flat=True))
    assert actions == {"create", "update", "delete"}
    assert set(AuditEvent.objects.filter(resource_id=row_id).values_list("actor_kind", flat=True)) == {"api_key"}
    assert OutboxEvent.objects.filter(organisation=tenant.organisation).count() >= 3


def send(api, method, path, body=None, **headers):
    call = getattr(api.client, method)
    return call(f"/v1/{path}", body or {}, content_type="application/json", headers=headers)


@every_whole
def test_a_row_has_a_tag_that_stays_until_it_changes(path, tenant, api):
    row_id = make(path, tenant)
    tags = [api.get(f"{path}/{row_id}").headers["etag"] for _ in range(2)]
    assert tags[0] == tags[1]
    api.put(f"{path}/{row_id}", WHOLE[path].example_change)
    assert api.get(f"{path}/{row_id}").headers["etag"] != tags[0]


@every_whole
@pytest.mark.parametrize("method", ["put", "delete"])
def test_what_names_an_old_version_changes_nothing(path, method, tenant, api):
    row_id = make(path, tenant)
    old = api.get(f"{path}/{row_id}").headers["etag"]
    api.put(f"{path}/{row_id}", WHOLE[path].example_change)
    now = api.get(f"{path}/{row_id}")
    body = example(path, tenant) if method == "put" else None
    assert code(send(api, method, f"{path}/{row_id}", body, **{"if-match": old})) == (412, "AB07")
    assert api.get(f"{path}/{row_id}").json() == now.json()
    change = WHOLE[path].example_change if method == "put" else None
    assert send(api, method, f"{path}/{row_id}", change, **{"if-match": now.headers["etag"]}).status_code == 200


@every_whole
@pytest.mark.parametrize("method", ["put", "delete"])
def test_a_star_names_every_version(path, method, tenant, api):
    row_id = make(path, tenant)
    change = WHOLE[path].example_change if method == "put" else None
    assert send(api, method, f"{path}/{row_id}", change, **{"if-match": "*"}).status_code == 200


@every_whole
def test_what_is_made_twice_under_one_key_is_made_once(path, tenant, api):
    body, before = example(path, tenant), api.get(path).json()["total"]
    first, second = (send(api, "post", create_path(path), body, **{"idempotency-key": "k"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert api.get(path).json()["total"] == before + 1
    other = {**body, "name": "something else"}
    assert code(send(api, "post", create_path(path), other, **{"idempotency-key": "k"})) == (422, "AB01")


@every
def test_without_a_key_nothing_is_told(path):
    assert code(Api().get(path)) == (401, "AB05")
    assert code(Api().get(row_path(path))) == (401, "AB05")


@every_whole
def test_without_a_key_nothing_is_done(path):
    for answer in (Api().post(create_path(path)), Api().put(f"{path}/x"), Api().delete(f"{path}/x")):
        assert code(answer) == (401, "AB05")


@every
def test_a_key_without_the_scope_is_refused(path, tenant):
    api = Api(make_key(tenant, ["completions.write"]).shown_once())
    assert code(api.get(path)) == (403, "AB03")
    if path != "logs":  # contract: inference keys may read the records of their own calls
        assert code(api.get(row_path(path))) == (403, "AB03")


@every_whole
def test_a_key_that_may_only_read_changes_nothing(path, tenant):
    row_id = make(path, tenant)
    reading = list(WHOLE[path]().scopes_of("retrieve") | WHOLE[path]().scopes_of("list"))
    api = Api(make_key(tenant, reading, key_type=ORGANISATION_KEY).shown_once())
    assert api.get(f"{path}/{row_id}").status_code == 200
    for answer in (
        api.post(create_path(path), example(path, tenant)),
        api.put(f"{path}/{row_id}", WHOLE[path].example_change),
        api.delete(f"{path}/{row_id}"),
    ):
        assert code(answer) == (403, "AB03")


@every_whole
def test_another_organisations_row_is_answered_like_a_missing_one(path, tenant):
    row_id = make(path, tenant)
    stranger = Api(make_tenant("Other").admin_key)
    missing = stranger.get(f"{path}/018f0000-0000-7000-8000-000000000000")
    for answer in (
        stranger.get(f"{path}/{row_id}"),
        stranger.put(f"{path}/{row_id}", WHOLE[path].example_change),
        stranger.delete(f"{path}/{row_id}"),
    ):
        assert code(answer) == (404, "AB08")
        assert answer.json() == missing.json()
    assert row_id not in {row["id"] for row in stranger.get(path).json()["data"]}


@every_whole
def test_another_organisations_workspace_cannot_be_used(path, tenant):
    stranger = Api(make_tenant("Other").admin_key)
    if path == "admin/workspaces":
        assert code(stranger.get(f"{path}/{tenant.workspace.slug}")) == (404, "AB08")
        return
    body = {**example(path, tenant), "workspace_id": str(tenant.workspace.pk)}
    assert code(stranger.post(create_path(path), body)) == (400, "AB01")
    assert code(stranger.get(path, workspace_id=tenant.workspace.slug)) == (400, "AB01")


@every_whole
@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b"[1]", b'"text"', b"nul", b"{}", b'{"name": null}', b'{"name": {}}',
     b'{"name": "a\\u0000b"}', b'{"name": "\\ud800"}', b"\xff", b'{"name": NaN}', b"[" * 5000],
)  # fmt: skip
def test_a_body_that_cannot_be_used_is_a_400_with_a_code(path, tenant, raw):
    api = Api(tenant.admin_key)
    answer = api.client.post(f"/v1/{create_path(path)}", raw, content_type="application/json")
    assert code(answer) == (400, "AB01")


@every_whole
@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"name": ["a"]}', b'{"name": ""}'])
def test_a_change_that_cannot_be_used_is_a_400_with_a_code(path, tenant, raw):
    row_id = make(path, tenant)
    api = Api(tenant.admin_key)
    answer = api.client.put(f"/v1/{path}/{row_id}", raw, content_type="application/json")
    assert code(answer) == (400, "AB01")


@every
def test_a_method_that_a_route_lacks_is_a_405(path, tenant, api):
    answer = api.client.patch(f"/v1/{row_path(path)}", {}, content_type="application/json")
    assert answer.status_code == 405
    assert answer.json()["success"] is False


@every
@pytest.mark.parametrize("named", ["%00", "x" * 3000, "%F0%9F%92%A9", "..", "'--"])
def test_a_name_that_no_row_can_have_is_a_404(path, tenant, api, named):
    assert api.get(f"{path}/{named}").status_code == 404


@every_whole
@pytest.mark.parametrize("query", [{"page_size": "0"}, {"page_size": "x"}, {"current_page": "-1"}, {"page_size": "٣"}])
def test_a_page_that_cannot_be_is_a_400(path, api, query):
    assert code(api.get(path, **query)) == (400, "AB01")


@every_whole
def test_both_spellings_of_paging_are_understood(path, tenant, api):
    made = {make(path, tenant) for _ in range(2)}
    first = api.get(path, page_size=1, current_page=0).json()
    second = api.get(path, pageSize=1, currentPage=1).json()
    assert len(first["data"]) == len(second["data"]) == 1
    assert first["data"][0]["id"] != second["data"][0]["id"]
    assert first["total"] == second["total"] >= len(made)


@every
def test_every_answer_names_its_trace_so_that_sdks_do_not_repeat_it(path, api):
    for answer in (api.get(path), Api().get(path), api.get(f"{path}/x"), api.get("no/such/route")):
        assert answer.headers["x-portkey-trace-id"]
        assert answer.headers["x-portkey-request-id"]
        assert answer.headers["content-type"].startswith("application/json")


#: Beside those that the router names: lists below one row.
LISTS = sorted(
    {op.path[1:] for op in operations() if op.action == "list" and not op.viewset.is_single} | {"configs/{id}/versions"}
)
#: What some lists must be told.
ASKED = {"audit-logs": {"start_time": "2020-01-01T00:00:00Z", "end_time": "2099-01-01T00:00:00Z"}}


def queries_of(call):
    """How many queries a call makes, leaving aside the savepoints that a transaction needs."""
    with CaptureQueriesContext(connection) as captured:
        answer = call()
    assert answer.status_code == 200, answer.content
    return sum(not each["sql"].startswith(("SAVEPOINT", "RELEASE SAVEPOINT")) for each in captured)


def reading(api, tenant, known):
    """How many queries each call makes that reads something, by its path."""
    found = {}
    for operation in operations():
        if operation.method == "get":
            path = path_of(operation, tenant, known)
            query = ASKED.get(path, {}) | ({"organisation_id": tenant.organisation.pk} if path in ASKED else {})
            found[operation.path] = queries_of(lambda path=path, query=query: api.get(path, **query))
    return found


def test_what_is_read_costs_as_many_queries_however_many_rows_there_are(tenant, api):
    known = {"admin/workspaces/{id}": tenant.workspace.slug}
    for path in LISTS * 2:
        make_row(path, tenant)
    reading(api, tenant, known)
    few = reading(api, tenant, known)
    for path in LISTS * 10:
        make_row(path, tenant)
    many = reading(api, tenant, known)
    assert {path: (few[path], many[path]) for path in few if few[path] != many[path]} == {}


#: How many queries a call makes: list, read, create, update, delete.  More of them are to be seen in a review.
QUERIES = {
    "admin/roles": (3, 2, 4, 4, 9),
    "admin/workspaces": (3, 4, 12, 7, 42),
    "alert-destinations": (3, 2, 7, 7, 7),
    "api-keys": (3, 2, 6, 7, 7),
    "collections": (3, 3, 9, 6, 10),
    "configs": (3, 2, 9, 10, 9),
    "custom-providers": (3, 2, 6, 7, 9),
    "integrations": (4, 4, 19, 18, 25),
    "labels": (3, 2, 7, 8, 6),
    "policies/rate-limits": (3, 2, 5, 7, 6),
    "policies/usage-limits": (3, 2, 11, 14, 13),
    "providers": (3, 2, 10, 8, 9),
    "secret-references": (3, 2, 10, 7, 15),
    "virtual-keys": (4, 3, 16, 18, 23),
}  # fmt: skip


def test_queries_are_pinned_for_every_resource():
    assert set(QUERIES) == set(WHOLE)


@every_whole
def test_a_call_makes_as_many_queries_as_ever(path, tenant, api):
    row_id = make(path, tenant)
    one, change = f"{path}/{row_id}", WHOLE[path].example_change
    body = example(path, tenant)
    calls = (
        lambda: api.get(path), lambda: api.get(one), lambda: api.post(create_path(path), body), lambda: api.put(one, change),
        lambda: api.delete(one),
    )  # fmt: skip
    api.get(one)
    assert tuple(queries_of(call) for call in calls) == QUERIES[path]
