"""Policies in the Admin API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.budgets.models import Budget
from control_plane.policies.models import UsageLimitPolicy
from control_plane.policies.viewsets import RatePolicyViewSet, UsagePolicyViewSet
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db

NANO = 1_000_000_000
EXAMPLES = {"policies/usage-limits": UsagePolicyViewSet.example, "policies/rate-limits": RatePolicyViewSet.example}
USAGE = "policies/usage-limits"
each_kind = pytest.mark.parametrize("path", sorted(EXAMPLES))


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def make(api, path=USAGE, **given):
    answer = api.post(path, {**EXAMPLES[path], **given})
    assert answer.status_code == 200, answer.content
    return answer.json()["id"]


def use(policy_id, value_key="metadata._user:alice", used=0, **columns):
    policy = UsageLimitPolicy.objects.get(pk=policy_id)
    home = {"organisation_id": policy.organisation_id, "workspace_id": policy.workspace_id}
    counted = {"limit": policy.credit_limit, "unit": policy.type, "spent": used, "committed": used}
    named = {"kind": "policy", "owner_id": policy.pk, "value_key": value_key}
    return Budget.objects.create(**home, **named, **counted, **columns)


def ids(answer):
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["data"]]


def queries_of(api, path, **query):
    api.get(path)  # the first call of a key notes that it was used
    with CaptureQueriesContext(connection) as queries:
        assert api.get(path, page_size=100, **query).status_code == 200
    return len(queries)


def test_a_budget_is_shown_as_it_was_made(tenant, api):
    policy_id = make(api, description="d")
    read = api.get(f"{USAGE}/{policy_id}").json()
    example = UsagePolicyViewSet.example
    assert {name: read[name] for name in example} == example
    assert (read["object"], read["status"], read["target"], read["description"]) == (
        "policy_usage_limits",
        "active",
        "llm",
        "d",
    )
    assert (read["workspace_id"], read["organisation_id"]) == (None, str(tenant.organisation.pk))
    assert (read["periodic_reset_days"], read["last_reset_at"]) == (None, None)
    assert read["next_usage_reset_at"].endswith("-01T00:00:00Z")
    assert "value_key_usage_map" not in read


def test_a_rate_is_shown_as_it_was_made(api):
    read = api.get(f"policies/rate-limits/{make(api, 'policies/rate-limits')}").json()
    assert {name: read[name] for name in RatePolicyViewSet.example} == RatePolicyViewSet.example
    assert read["object"] == "policy_rate_limits"


@each_kind
def test_a_policy_belongs_to_a_workspace_or_to_the_organisation(tenant, api, path):
    team = make_workspace(tenant)
    whole, of_team = make(api, path), make(api, path, workspace_id=team.slug)
    assert set(ids(api.get(path))) == {whole, of_team}
    assert ids(api.get(path, workspace_id=team.slug)) == [of_team]
    own = Api(make_key(tenant, workspace=team).shown_once())
    assert ids(own.get(path)) == [of_team]
    assert own.get(f"{path}/{whole}").status_code == 404
    made = own.get(f"{path}/{make(own, path)}").json()
    assert made["workspace_id"] == str(team.pk)
    body = {**EXAMPLES[path], "organisation_id": str(tenant.organisation.pk)}
    assert own.post(path, body).status_code == 403
    assert api.post(path, {**body, "organisation_id": str(team.pk)}).status_code == 400


@each_kind
def test_an_archived_policy_is_found_by_who_asks_for_it(api, path):
    gone, here = make(api, path), make(api, path)
    assert api.delete(f"{path}/{gone}").json() == {}
    assert ids(api.get(path)) == ids(api.get(path, status="active")) == [here]
    assert ids(api.get(path, status="archived")) == [gone]
    assert api.get(f"{path}/{gone}").status_code == 404
    assert api.get(f"{path}/{gone}", status="archived").json()["status"] == "archived"
    assert api.put(f"{path}/{gone}", {"name": "n"}).status_code == 404
    assert api.put(f"{path}/{gone}?status=archived", {"status": "active"}).status_code == 200
    assert set(ids(api.get(path))) == {gone, here}


def test_policies_are_narrowed_by_type_and_unit(api):
    cost = make(api)
    tokens = make(api, type="tokens", credit_limit=1000, alert_threshold=None)
    assert ids(api.get(USAGE, type="cost")) == [cost]
    assert ids(api.get(USAGE, type="tokens")) == [tokens]
    rpm, rpw = make(api, "policies/rate-limits"), make(api, "policies/rate-limits", unit="rpw", type="tokens")
    assert (
        ids(api.get("policies/rate-limits", unit="rpw")) == ids(api.get("policies/rate-limits", type="tokens")) == [rpw]
    )
    assert ids(api.get("policies/rate-limits", unit="rpm", type="requests")) == [rpm]


@pytest.mark.parametrize("query", [{"status": "gone"}, {"type": "money"}, {"unit": "rpy"}])
def test_a_filter_that_cannot_be_is_a_400(api, query):
    assert api.get("policies/rate-limits", **query).status_code == 400


def test_faults_are_told_with_their_paths(api):
    body = {**EXAMPLES[USAGE], "conditions": [{"key": "colour", "value": "*"}], "credit_limit": 1, "alert_threshold": 2}
    told = api.post(USAGE, body).json()["data"]["message"]
    assert told.startswith("conditions.0.key: must be one of: api_key, ")
    told = api.post(USAGE, {**body, "conditions": EXAMPLES[USAGE]["conditions"]}).json()["data"]["message"]
    assert told == "alert_threshold: must be less than credit_limit"


def test_usage_is_shown_when_it_is_asked_for(api):
    policy_id = make(api)
    use(policy_id, used=NANO // 2, is_threshold_alerts_sent=True)
    read = api.get(f"{USAGE}/{policy_id}", include_usage="true").json()
    assert read["value_key_usage_map"] == {
        "metadata._user:alice": {
            "current_usage": 0.5, "status": "active", "is_threshold_alerts_sent": True, "is_exhausted_alerts_sent": False,
        }
    }  # fmt: skip
    assert "value_key_usage_map" not in api.get(f"{USAGE}/{policy_id}", include_usage="false").json()
    assert api.get(f"{USAGE}/{policy_id}", include_usage="perhaps").status_code == 400


def test_entities_are_listed_narrowed_and_paged(api):
    policy_id = make(api)
    alice, bob = use(policy_id, used=NANO), use(policy_id, "metadata._user:bob", status="exhausted")
    use(make(api), "metadata._user:other")
    path = f"{USAGE}/{policy_id}/entities"
    listed = api.get(path).json()
    assert (listed["object"], listed["total"]) == ("list", 2)
    assert listed["data"][0] == {
        "id": str(alice.pk), "value_key": "metadata._user:alice", "current_usage": 1, "status": "active",
        "is_threshold_alerts_sent": False, "is_exhausted_alerts_sent": False,
    }  # fmt: skip
    assert ids(api.get(path, status="exhausted")) == ids(api.get(path, search="BOB")) == [str(bob.pk)]
    assert ids(api.get(path, page_size=1, current_page=1)) == [str(bob.pk)]
    assert api.get(path, status="tired").status_code == 400


def test_an_entity_is_reset(api):
    policy_id = make(api)
    row = use(policy_id, used=NANO, status="exhausted")
    assert api.put(f"{USAGE}/{policy_id}/entities/{row.pk}/reset").json() == {}
    assert api.get(f"{USAGE}/{policy_id}/entities/{row.pk}").json()["current_usage"] == 0
    assert api.put(f"{USAGE}/{make(api)}/entities/{row.pk}/reset").status_code == 404
    assert api.put(f"{USAGE}/{policy_id}/entities/nothing/reset").status_code == 404


def test_one_value_is_reset_by_a_change(api):
    policy_id = make(api)
    row = use(policy_id, used=NANO)
    assert api.put(f"{USAGE}/{policy_id}", {"reset_usage_for_value": "alice"}).json() == {}
    assert Budget.objects.get(pk=row.pk).spent == 0
    assert api.put(f"{USAGE}/{policy_id}", {"reset_usage_for_value": "bob"}).status_code == 400


def test_entities_of_others_are_hidden(tenant, api):
    policy_id = make(api)
    row = use(policy_id, used=NANO)
    own = Api(make_key(tenant).shown_once())
    for stranger in (Api(make_tenant().admin_key), own):
        assert stranger.get(f"{USAGE}/{policy_id}/entities").status_code == 404
        assert stranger.put(f"{USAGE}/{policy_id}/entities/{row.pk}/reset").status_code == 404
    row.refresh_from_db()
    assert row.spent == NANO


def test_a_workspace_key_sees_and_resets_the_entities_of_its_own_policies(tenant):
    own = Api(make_key(tenant).shown_once())
    policy_id = make(own)
    row = use(policy_id, used=NANO)
    assert ids(own.get(f"{USAGE}/{policy_id}/entities")) == [str(row.pk)]
    assert own.put(f"{USAGE}/{policy_id}/entities/{row.pk}/reset").status_code == 200


def test_who_may_only_read_resets_nothing(tenant, api):
    policy_id = make(api)
    row = use(policy_id, used=NANO)
    reader = Api(make_key(tenant, ["policies.list", "policies.read"], key_type="organisation-service").shown_once())
    assert reader.get(f"{USAGE}/{policy_id}/entities").status_code == 200
    assert reader.put(f"{USAGE}/{policy_id}/entities/{row.pk}/reset").status_code == 403
    assert reader.put(f"{USAGE}/{policy_id}", {"reset_usage_for_value": "alice"}).status_code == 403


@each_kind
def test_a_list_of_many_costs_no_more_queries_than_one_of_few(api, path):
    for _ in range(3):
        make(api, path)
    few = queries_of(api, path)
    for _ in range(27):
        make(api, path)
    assert queries_of(api, path) == few


@pytest.mark.parametrize(("suffix", "query"), [("/entities", {}), ("", {"include_usage": "true"})])
def test_many_entities_cost_no_more_queries_than_few(api, suffix, query):
    policy_id = make(api)
    counts = []
    for names in (range(3), range(3, 30)):
        for number in names:
            use(policy_id, f"metadata._user:{number}")
        counts.append(queries_of(api, f"{USAGE}/{policy_id}{suffix}", **query))
    assert counts[0] == counts[1]
