"""The audit trail in the Admin API."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.core.models import AuditEvent
from control_plane.core.scopes import ORGANISATION_KEY
from tests.control_plane.factories import Api, make_config, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db

BODY = {"name": "primary", "config": {"virtual_key": "team-openai"}}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key, **{"user-agent": "curl/8"})


def window(tenant, **more):
    now = timezone.now()
    span = {"start_time": (now - timedelta(hours=1)).isoformat(), "end_time": (now + timedelta(hours=1)).isoformat()}
    return {**span, "organisation_id": str(tenant.organisation.pk), **more}


def records(api, tenant, **more):
    answer = api.get("audit-logs", **window(tenant, **more))
    assert answer.status_code == 200, answer.content
    return answer.json()["records"]


def body_of(answer):
    return b"".join(answer.streaming_content).decode()


def test_a_change_is_answered_in_the_shape_of_the_contract(tenant, api):
    made = api.post("configs?workspace_id=x", {"name": "primary", "config": {"virtual_key": "team-openai"}})
    answer = api.get("audit-logs", **window(tenant, resource_type="config")).json()
    assert (answer["total"], answer["object"]) == (1, "analytics-graph")
    row = answer["records"][0]
    assert (row["method"], row["uri"], row["action"]) == ("POST", "/v1/configs", "create")
    assert row["request_id"] == made.headers["x-portkey-request-id"]
    assert json.loads(row["request_body"]) == {"name": "primary", "config": {"virtual_key": "team-openai"}}
    assert json.loads(row["query_params"]) == {"workspace_id": "x"}
    assert json.loads(row["request_headers"]) == {"user-agent": "curl/8"}
    assert (row["user_type"], row["response_status_code"], row["client_ip"]) == ("api_key", 200, "127.0.0.1")
    assert row["organisation_id"] == str(tenant.organisation.pk)
    assert row["workspace_id"] == str(tenant.workspace.pk)
    assert row["country"] is None
    assert row["timestamp"].endswith("Z")


@pytest.mark.parametrize("lacking", ["start_time", "end_time", "organisation_id"])
def test_what_the_contract_requires_is_required(tenant, api, lacking):
    query = window(tenant)
    del query[lacking]
    answer = api.get("audit-logs", **query)
    assert answer.status_code == 400
    assert lacking in answer.json()["data"]["message"]


@pytest.mark.parametrize(
    "moment", ["yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "2026-02-30", "\u0663"]
)
def test_a_time_that_cannot_be_is_a_400(tenant, api, moment):
    assert api.get("audit-logs", **window(tenant, start_time=moment)).status_code == 400


@pytest.mark.parametrize(
    "moment",
    ["0001-01-02T00:00:00+23:00", "2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00", "2020-01-01 00:00:00"],
)
def test_times_are_read_in_the_usual_forms(tenant, api, moment):
    assert records(api, tenant, start_time=moment)


def test_another_organisations_trail_is_answered_like_a_missing_one(tenant):
    other = make_tenant("Other")
    answer = Api(other.admin_key).get("audit-logs", **window(tenant))
    missing = Api(other.admin_key).get("audit-logs", **window(other, organisation_id="x"))
    assert (answer.status_code, answer.json()) == (404, missing.json())
    own = {row["organisation_id"] for row in records(Api(other.admin_key), other)}
    assert own == {str(other.organisation.pk)}
    event = AuditEvent.objects.filter(organisation_id=tenant.organisation.pk).first()
    assert Api(other.admin_key).get(f"audit-logs/{event.pk}").status_code == 404


def test_only_the_scope_of_the_trail_opens_it(tenant):
    closed = Api(make_key(tenant, ["workspaces.list"], key_type=ORGANISATION_KEY).shown_once())
    opened = Api(make_key(tenant, ["audit_logs.list"], key_type=ORGANISATION_KEY).shown_once())
    assert closed.get("audit-logs", **window(tenant)).status_code == 403
    assert opened.get("audit-logs", **window(tenant)).status_code == 200


def test_the_trail_is_narrowed_by_every_filter(tenant, api):
    team = make_workspace(tenant)
    config = make_config(tenant, workspace=team)
    changed = api.put(f"configs/{config.pk}", {"name": "renamed"})
    row = records(api, tenant, request_id=changed.headers["x-portkey-request-id"])[0]
    assert row["resource_id"] == str(config.pk)
    same = ("method", "uri", "user_id", "user_type", "resource_type", "action", "client_ip", "response_status_code")
    for name in same:
        kept = records(api, tenant, **{name: row[name]})
        assert row in kept
        assert {each[name] for each in kept} == {row[name]}
        assert records(api, tenant, **{name: "000"}) == []
    kept = records(api, tenant, workspace_id=team.slug)
    assert row in kept
    assert {each["workspace_id"] for each in kept} == {str(team.pk)}
    assert records(api, tenant, country="DE") == []
    assert records(api, tenant, end_time="2020-01-01") == []


def test_pages_are_counted_from_the_newest(tenant, api):
    api.post("configs", {"name": "a", "config": {"virtual_key": "v"}})
    every = records(api, tenant)
    answer = api.get("audit-logs", **window(tenant, page_size=1, current_page=1)).json()
    assert answer["records"] == [every[1]]
    assert answer["total"] == len(every)
    assert [row["timestamp"] for row in every] == sorted((row["timestamp"] for row in every), reverse=True)


def test_one_event_can_be_read(tenant, api):
    row = records(api, tenant)[0]
    assert api.get(f"audit-logs/{row['id']}").json() == row


def test_secrets_of_a_request_stay_masked(tenant, api):
    body = {"name": "Team", "provider": "openai", "key": "hidden-0123456789"}
    assert api.post("virtual-keys?api_key=hidden-in-query", body).status_code == 200
    provider = {"name": "Acme", "base_url": "https://api.acme-models.com/v1", "headers": {"x-acme": "hidden-header"}}
    assert api.post("custom-providers", provider).status_code == 200
    shown = [{**row, "before": None, "after": None} for row in records(api, tenant)]
    assert "hidden" not in json.dumps(shown)
    assert "x-acme" in json.dumps(shown)


def test_a_query_that_the_database_cannot_keep_is_kept_without_what_it_cannot(tenant, api):
    made = api.client.post("/v1/configs?a=%00b&%00=c&d=%ED%A0%80", BODY, content_type="application/json")
    assert made.status_code == 200
    assert "\ufffdb" in json.loads(records(api, tenant, resource_type="config")[0]["query_params"])["a"]


def test_a_body_that_is_too_large_is_left_out(tenant, api):
    config = {"virtual_key": "v", "metadata": {"a": "x" * 20_000}}
    made = api.post("configs", {"name": "big", "config": {"virtual_key": "v", "override_params": config}})
    assert made.status_code == 200, made.content
    assert records(api, tenant, resource_type="config")[0]["request_body"] == ""


@pytest.mark.parametrize(
    "asked", [{"format": "jsonl"}, {"accept": "application/x-ndjson"}, {"accept": "application/jsonl;q=1, */*"}]
)
def test_the_trail_is_exported_as_json_lines(tenant, api, asked):
    caller = Api(tenant.admin_key, **({"accept": asked["accept"]} if "accept" in asked else {}))
    answer = caller.get("audit-logs", **window(tenant, **({} if "accept" in asked else asked)))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.streaming
    assert [json.loads(line) for line in body_of(answer).splitlines()] == records(api, tenant)


@pytest.mark.parametrize("asked", [{"format": "csv"}, {"accept": "text/csv"}])
def test_the_trail_is_exported_as_csv(tenant, api, asked):
    caller = Api(tenant.admin_key, **({"accept": asked["accept"]} if "accept" in asked else {}))
    answer = caller.get("audit-logs", **window(tenant, **({} if "accept" in asked else asked)))
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(body_of(answer))))
    assert [row["id"] for row in rows] == [row["id"] for row in records(api, tenant)]


def test_a_cell_is_never_a_formula(tenant, api):
    key = make_key(tenant, ["configs.create"], name="=1+1").shown_once()
    Api(key).post("configs", {"name": "a", "config": {"virtual_key": "v"}})
    answer = api.get("audit-logs", **window(tenant, format="csv", resource_type="config"))
    assert [row["user_name"] for row in csv.DictReader(io.StringIO(body_of(answer)))] == ["'=1+1"]


def test_an_unknown_format_is_a_400(tenant, api):
    assert api.get("audit-logs", **window(tenant, format="xml")).status_code == 400
