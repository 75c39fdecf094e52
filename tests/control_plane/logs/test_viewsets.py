"""The Admin API's records: the contract's shape, scopes, isolation, and clear refusals."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from control_plane.logs.models import LogRow
from shared.schema.log_record import AttemptRecord, Rejected, Step
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace
from tests.control_plane.logs.log_kit import now_us, store

pytestmark = pytest.mark.django_db

METRICS = """
    id organisation_id organisation_name prompt_id prompt_version_id config_id created_at is_success ai_org ai_model
    req_units res_units total_units cost cost_currency request_url request_method response_status_code response_time
    is_proxy_call cache_status cache_type stream_mode retry_success_count trace_id span_id span_name parent_span_id
    mode virtual_key source runtime runtime_version sdk_version config internal_trace_id last_used_option_index
    config_version_id prompt_slug workspace_slug log_store_file_path_format metadata.key metadata.value api_key_id
    request_parsing_time pre_processing_time cache_processing_time response_parsing_time gateway_processing_time
    upstream_response_time
""".split()  # noqa: SIM905 -- fifty quoted names would hide which one is missing


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def test_a_record_has_the_contracts_shape(tenant, api):
    attempt = AttemptRecord(
        n=0, provider="openai", path="config.targets[0]", status=503, start_us=40, dur_ms=7, error="e"
    )
    row = store(tenant, request={"model": "m"}, response={"id": "c"}, attempts=(attempt,), metadata={"team": "a"})
    found = api.get(f"logs/{row.id}")
    assert found.status_code == 200
    body = found.json()
    assert body["_id"] == str(row.id)
    assert body["request"] == {
        "url": "/v1/chat/completions", "method": "POST", "headers": {}, "body": {"model": "m"}, "portkeyHeaders": {},
    }  # fmt: skip
    assert body["response"] == {
        "status": 200, "headers": {}, "body": {"id": "c"}, "responseTime": 812,
        "lastUsedOptionJsonPath": "config.targets[1]",
    }  # fmt: skip
    assert (body["organisation_id"], body["body_state"]) == (str(tenant.organisation.pk), "stored")
    assert datetime.fromisoformat(body["created_at"]) == row.ts
    assert body["attempts"][0] == {
        "n": 0, "provider": "openai", "model": None, "target_path": "config.targets[0]", "status": 503, "error": "e",
        "start_us": 40, "dur_ms": 7,
    }  # fmt: skip
    assert set(METRICS) - set(body["metrics"]) == set()


def test_metrics_carry_the_records_values_in_the_contracts_units(tenant, api):
    row = store(tenant, metadata={"team": "a"}, phases_us={"parse": 3000}, mode="fallback", stream=True)
    metrics = api.get(f"logs/{row.id}").json()["metrics"]
    expected = {
        "cost": 0.0384, "saved": 0, "price_status": "priced", "total_units": 1540, "is_success": True, "mode": "FALLBACK",
        "ai_model": "gpt-4o-mini-2024-07-18", "organisation_name": tenant.organisation.name, "stream_mode": 1,
        "workspace_slug": tenant.workspace.slug, "last_used_option_index": 1, "metadata.key": ["team"],
        "metadata.value": ["a"], "gateway_processing_time": 2, "request_parsing_time": 3,
        "cache_processing_time": None, "response_time": 812,
    }  # fmt: skip
    assert {name: metrics[name] for name in expected} == expected


def test_an_unpriced_record_has_no_cost_and_says_so(tenant, api):
    metrics = api.get(f"logs/{store(tenant, cost_nano=None, price_status='unpriced').id}").json()["metrics"]
    assert (metrics["cost"], metrics["price_status"]) == (None, "unpriced")


def test_a_free_record_costs_nothing(tenant, api):
    metrics = api.get(f"logs/{store(tenant, cost_nano=0, price_status='free').id}").json()["metrics"]
    assert (metrics["cost"], metrics["price_status"]) == (0.0, "free")


def test_a_record_that_has_not_come_is_missing(api):
    found = api.get(f"logs/{uuid4()}")
    assert (found.status_code, found.json()["data"]["errorCode"]) == (404, "AB08")


@pytest.mark.parametrize("log_id", ["x", "%00", "exports"])
def test_an_id_that_is_none_is_missing(api, log_id):
    assert api.get(f"logs/{log_id}").status_code == 404


def test_another_organisations_record_is_missing(tenant):
    row = store(tenant)
    stranger = Api(make_tenant().admin_key)
    found = stranger.get(f"logs/{row.id}")
    assert (found.status_code, found.json()["data"]["errorCode"]) == (404, "AB08")
    assert stranger.get("logs").json()["data"] == []


def test_a_workspace_key_sees_its_own_workspace_only(tenant):
    other = make_workspace(tenant)
    mine, theirs = store(tenant, ws=str(other.pk)), store(tenant)
    api = Api(make_key(tenant, workspace=other).shown_once())
    assert [row["id"] for row in api.get("logs").json()["data"]] == [str(mine.id)]
    assert (api.get(f"logs/{mine.id}").status_code, api.get(f"logs/{theirs.id}").status_code) == (200, 404)


def test_an_organisation_key_sees_every_workspace(tenant, api):
    store(tenant, ws=str(make_workspace(tenant).pk))
    store(tenant)
    assert len(api.get("logs").json()["data"]) == 2


def test_a_key_that_may_make_requests_reads_a_record_but_no_list(tenant):
    row = store(tenant)
    api = Api(make_key(tenant, ["completions.write"]).shown_once())
    assert (api.get(f"logs/{row.id}").status_code, api.get("logs").status_code) == (200, 403)


def test_a_key_without_any_of_the_scopes_reads_nothing(tenant):
    row = store(tenant)
    api = Api(make_key(tenant, ["configs.read"]).shown_once())
    answers = [api.get(f"logs/{row.id}"), api.get("logs")]
    assert [(answer.status_code, answer.json()["data"]["errorCode"]) for answer in answers] == [(403, "AB03")] * 2


def test_the_list_goes_on_with_its_cursor(tenant, api):
    rows = [store(tenant, ts_us=now_us() - number * 1_000_000) for number in range(3)]
    first = api.get("logs", page_size=2).json()
    second = api.get("logs", page_size=2, cursor=first["next_cursor"]).json()
    assert first["object"] == "list"
    assert [row["id"] for row in first["data"] + second["data"]] == [str(row.id) for row in rows]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "error"}, 1), ({"status": "200"}, 1), ({"model": "m-1"}, 1), ({"provider": "nobody"}, 0),
        ({"trace_id": "t"}, 1), ({"api_key_id": str(uuid4())}, 0),
    ],
)  # fmt: skip
def test_the_list_is_narrowed_by_its_query(tenant, api, query, found):
    store(tenant, status=500, model_served="m-1")
    store(tenant, trace_id="t")
    assert len(api.get("logs", **query).json()["data"]) == found


def test_the_list_holds_the_last_day_unless_it_is_asked_for_more(tenant, api):
    two_days_ago = now_us() - 2 * 86_400 * 1_000_000
    row = store(tenant, ts_us=two_days_ago)
    assert api.get("logs").json()["data"] == []
    since = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    for name in ("from", "time_of_generation_min"):
        assert [each["id"] for each in api.get("logs", **{name: since}).json()["data"]] == [str(row.id)]


def test_the_list_is_narrowed_to_a_workspace_by_id_or_slug(tenant, api):
    other = make_workspace(tenant)
    row = store(tenant, ws=str(other.pk))
    store(tenant)
    for named in (str(other.pk), other.slug):
        assert [each["id"] for each in api.get("logs", workspace_id=named).json()["data"]] == [str(row.id)]


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"}, {"to": "2030-13-01T00:00:00Z"}, {"to": "0001-01-01T00:00:00Z"},
        {"from": "2030-01-01T00:00:00Z", "to": "2030-03-01T00:00:00Z"}, {"page_size": "0"}, {"page_size": "101"},
        {"page_size": "9" * 5000}, {"page_size": "a"}, {"status": "fine"}, {"status": "20"}, {"api_key_id": "k"},
        {"cursor": "x"}, {"model": "a\x00"}, {"workspace_id": str(uuid4())},
    ],
)  # fmt: skip
def test_a_query_without_sense_is_refused_with_a_sentence(api, query):
    answer = api.get("logs", **query)
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")


@pytest.mark.parametrize("method", ["put", "delete"])
def test_records_cannot_be_changed(tenant, api, method):
    row = store(tenant)
    assert getattr(api, method)(f"logs/{row.id}").status_code == 405


STEPS = (
    Step("config", "", "pc-1", "the API key's default", us=10),
    Step("condition", "config", "config.targets[0]", "condition 0 holds", {"metadata.plan": "paid"}, us=20),
    Step("attempt", "config.targets[0]", "openai", "the target", {"status": 200}, (Rejected("b", "not tried"),), 30),
)


def test_a_record_is_explained_step_by_step(tenant, api):
    key = make_key(tenant).row
    row = store(tenant, decision=STEPS, api_key=str(key.pk), price_id="p-1")
    told = api.get(f"logs/{row.id}/explain").json()
    assert {name: told[name] for name in ("object", "id", "trace_id", "status")} == {
        "object": "decision", "id": str(row.id), "trace_id": "trace-1", "status": 200,
    }  # fmt: skip
    assert told["summary"] == (
        "Answered 200 by openai/gpt-4o-mini-2024-07-18; under pc-1 (the API key's default); "
        "condition at config chose config.targets[0]: condition 0 holds."
    )
    assert [step["step"] for step in told["steps"]] == ["auth", "config", "condition", "attempt", "price"]
    assert (told["steps"][0]["chose"], told["steps"][4]["chose"]) == (str(key.pk), "p-1")
    assert told["steps"][2] == {
        "step": "condition", "path": "config", "chose": "config.targets[0]", "why": "condition 0 holds",
        "facts": {"metadata.plan": "paid"}, "us": 20,
    }  # fmt: skip
    assert told["steps"][3]["rejected"] == [{"what": "b", "why": "not tried"}]


def test_a_record_without_a_trace_says_so_and_claims_nothing(tenant, api):
    told = api.get(f"logs/{store(tenant).id}/explain").json()
    assert "recorded no decision trace" in told["summary"]
    assert [step["step"] for step in told["steps"]] == ["auth", "price"]


def test_a_step_of_a_later_version_is_shown_as_it_is(tenant, api):
    row = store(tenant)
    LogRow.objects.filter(id=row.id).update(decision=[{"step": "divination", "chose": "x"}])
    answer = api.get(f"logs/{row.id}/explain")
    shown = [step for step in answer.json()["steps"] if step["step"] == "divination"]
    assert [(answer.status_code, step["chose"]) for step in shown] == [(200, "x")]


def test_a_trace_that_cannot_be_read_is_no_failure(tenant, api):
    row = store(tenant)
    LogRow.objects.filter(id=row.id).update(decision=[{"step": 7}])
    answer = api.get(f"logs/{row.id}/explain")
    assert (answer.status_code, "recorded no" in answer.json()["summary"]) == (200, True)


def test_a_record_is_explained_to_those_who_may_read_it_only(tenant):
    other = make_workspace(tenant)
    row = store(tenant, decision=STEPS)
    keys = {
        "reader": make_key(tenant, ["logs.view"]), "caller": make_key(tenant, ["completions.write"]),
        "lister": make_key(tenant, ["logs.list"]), "neighbour": make_key(tenant, workspace=other),
        "stranger": make_key(make_tenant()),
    }  # fmt: skip
    statuses = {who: Api(key.shown_once()).get(f"logs/{row.id}/explain").status_code for who, key in keys.items()}
    assert statuses == {"reader": 200, "caller": 200, "lister": 403, "neighbour": 404, "stranger": 404}
    assert Api().get(f"logs/{row.id}/explain").status_code == 401


@pytest.mark.parametrize("log_id", ["x", "%00", str(uuid4())])
def test_what_is_no_record_is_not_explained(api, log_id):
    answer = api.get(f"logs/{log_id}/explain")
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (404, "AB08")
