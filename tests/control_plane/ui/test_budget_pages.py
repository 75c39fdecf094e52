"""The pages of budgets show what the Admin API tells, to those who may see it, and change nothing unasked."""

import pytest

from control_plane.budgets.models import Budget
from control_plane.orgs.services import add_workspace_user
from shared.money import NANO
from tests.control_plane.explain.explain_kit import (
    counter,
    key_and_provider,
    make_budget,
    rate_policy,
    usage_policy,
)
from tests.control_plane.factories import make_member, make_tenant, make_workspace
from tests.control_plane.ui.page_kit import Page, owner_of, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def client(tenant):
    return owner_of(tenant)


def of_workspace(tenant, workspace=None, **fields):
    home = workspace or tenant.workspace
    return make_budget(tenant, "workspace", home.pk, workspace=home, name=home.name, **fields)


def member_of(tenant, role="member"):
    member = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, member.pk, role)
    return signed_in(member)


def test_a_budget_is_shown_with_how_much_of_it_was_used(tenant, client):
    of_workspace(tenant, spent=2_500_000_000, reserved=500_000_000)
    page = Page(client.get("/budgets"))
    assert f"Workspace {tenant.workspace.name} – Active $2.50 of $10.00 $2.50 $10.00 $0.50 never Reset" in page.text
    (meter,) = page.all("meter")
    assert (meter["value"], meter["max"]) == ("0.2500", "1")


def test_a_group_of_a_policy_is_named_by_its_value(tenant, client):
    counter(tenant, usage_policy(tenant), "metadata._user:ada", 700)
    assert "Policy Usage metadata._user:ada Active 700 of 1,000 700 1,000" in Page(client.get("/budgets")).text


def test_what_is_exhausted_comes_first_and_never_fills_more_than_the_bar(tenant, client):
    of_workspace(tenant)
    made = of_workspace(tenant, make_workspace(tenant, "Spent"), spent=30 * NANO)
    Budget.objects.filter(pk=made.pk).update(status="exhausted")
    page = Page(client.get("/budgets"))
    assert [meter["value"] for meter in page.all("meter")] == ["1.0000", "0.0000"]
    assert page.text.index("Exhausted $30.00") < page.text.index("Active $0.00")


def test_the_list_is_narrowed_by_kind_and_status(tenant, client):
    of_workspace(tenant)
    make_budget(tenant, "organisation", tenant.organisation.pk, name="All of Acme")
    for query, words in (({"kind": "organisation"}, "All of Acme"), ({"status": "active"}, "All of Acme")):
        assert words in Page(client.get("/budgets", query)).text
    assert "no such budgets" in Page(client.get("/budgets", {"status": "exhausted"})).text
    assert tenant.workspace.name not in Page(client.get("/budgets", {"kind": "organisation"})).text
    assert client.get("/budgets", {"kind": "odd"}).status_code == 400


def test_a_member_sees_the_budgets_of_their_workspaces_and_cannot_reset_them(tenant):
    row = of_workspace(tenant, spent=NANO)
    make_budget(tenant, "organisation", tenant.organisation.pk, name="All of Acme")
    client = member_of(tenant)
    page = Page(client.get("/budgets"))
    assert (tenant.workspace.name in page.text, "All of Acme" in page.text) == (True, False)
    assert [form["action"] for form in page.all("form") if "reset" in form["action"]] == []
    refused = client.post(f"/budgets/{row.pk}/reset")
    assert (refused.status_code, "Ask" in Page(refused).text) == (403, True)
    assert Budget.objects.get(pk=row.pk).spent == NANO


def test_an_owner_resets_a_budget(tenant, client):
    row = of_workspace(tenant, spent=NANO)
    (action,) = [form["action"] for form in Page(client.get("/budgets")).all("form") if "reset" in form["action"]]
    shown = Page(client.post(action, follow=True))
    assert f"The budget of “{tenant.workspace.name}” begins anew." in shown.text
    row.refresh_from_db()
    assert (row.spent, row.window) == (0, 2)


def test_a_reset_needs_the_token_against_forged_requests_and_a_post(tenant):
    row = of_workspace(tenant, spent=NANO)
    strict = signed_in(make_member(tenant, "owner"), enforce_csrf_checks=True)
    assert strict.post(f"/budgets/{row.pk}/reset").status_code == 403
    assert strict.get(f"/budgets/{row.pk}/reset").status_code == 405
    assert Budget.objects.get(pk=row.pk).spent == NANO


def test_a_budget_that_is_not_there_cannot_be_reset(tenant, client):
    foreign = of_workspace(make_tenant(), spent=NANO)
    for named in (foreign.pk, "x", "018f0000-0000-7000-8000-000000000000"):
        assert client.post(f"/budgets/{named}/reset").status_code == 404
    assert Budget.objects.get(pk=foreign.pk).spent == NANO


def test_the_form_asks_nothing_before_it_is_filled(client):
    answer = client.get("/budgets/explain")
    assert (answer.status_code, Page(answer).all("table")) == (200, [])


def test_an_explanation_names_what_refuses_first_and_all_that_holds(tenant, client):
    key, _ = key_and_provider(tenant, name="Batch")
    make_budget(tenant, "api_key", key.pk, workspace=tenant.workspace, spent=10 * NANO, status="exhausted")
    of_workspace(tenant, dollars=100)
    rate_policy(tenant, value="support", name="Support", unit="rph")
    page = Page(client.get("/budgets/explain", {"api_key": "Batch", "model": "@main/gpt-4o"}))
    assert "First to refuse: budget of cost, api key “Batch” , in all: it refuses calls at that time." in page.text
    assert "Budget: cost, in all API key Batch Exhausted $10.00 of $10.00 $10.00 $10.00 $0.00" in page.text
    assert f"Budget: cost, in all Workspace {tenant.workspace.name} Active" in page.text
    assert "Support Rate: 10 requests, each hour the call has no metadata.team" in page.text
    assert "Calls of this model cost $2.50 for a million tokens in, $10.00 out (openai/gpt-4o" in page.text
    assert page.unbalanced == []


def test_a_model_without_a_price_is_said_to_have_none(tenant, client):
    key_and_provider(tenant)
    page = Page(client.get("/budgets/explain", {"model": "@main/nobody-knows-this"}))
    assert "This model has no price: budgets of cost take $" in page.text
    assert "by the organisation's rule “dearest”" in page.text
    assert "No limit holds" in page.text
    tenant.organisation.budget_rules = {"unpriced": {"rule": "refuse"}}
    tenant.organisation.save()
    page = Page(client.get("/budgets/explain", {"model": "@main/nobody-knows-this"}))
    assert "under a budget of cost, calls of it are refused" in page.text


@pytest.mark.parametrize(
    ("query", "words"),
    [({"api_key": "gone"}, "no such key"), ({"at": "x"}, "at must be"), ({"workspace_id": "gone"}, "Select a valid")],
)
def test_a_question_that_cannot_be_answered_says_why(client, query, words):
    answer = client.get("/budgets/explain", query)
    assert (answer.status_code, words in Page(answer).text) == (400, True)


def test_what_people_wrote_is_escaped(tenant, client):
    evil = "<script>alert(1)</script>"
    of_workspace(tenant)
    Budget.objects.update(name=evil)
    rate_policy(tenant, value=evil, name=evil)
    for path in ("/budgets", "/budgets/explain?metadata=" + '{"team": "x"}'):
        answer = client.get(path)
        assert b"<script" not in answer.content
        assert b"&lt;script&gt;" in answer.content
