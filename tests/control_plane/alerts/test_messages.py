"""Messages say what happened, and nothing that a name would have them say."""

import pytest

from control_plane.alerts.messages import headline, mail_text, message_of, slack_json, trial_message
from control_plane.alerts.models import Destination
from shared.ids import uuid7
from shared.money import NANO
from tests.control_plane.alerts.alert_kit import make_budget, spend
from tests.control_plane.factories import make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def message(tenant, spent, **fields):
    """What is told of the last thing that so much spending leads to."""
    return message_of(spend(make_budget(tenant, **fields), spent)[-1])


def test_a_message_has_cost_in_dollars_and_where_the_budget_stood(tenant):
    owner = uuid7()
    budget = make_budget(tenant, "virtual_key", owner_id=owner, workspace=tenant.workspace, limit=100 * NANO, window=3)
    (event,) = spend(budget, 80 * NANO + NANO // 2)
    said = message_of(event)
    assert said.pop("created_at").endswith("Z")
    assert said == {
        "type": "budget.threshold", "id": str(event.pk), "organisation_id": str(tenant.organisation.pk),
        "workspace_id": str(tenant.workspace.pk),
        "budget": {
            "kind": "virtual_key", "owner_id": str(owner), "name": "Search", "value_key": "", "unit": "cost",
            "limit": 100, "threshold": 80, "spent": 80.5, "percent": 80.5, "resets_at": None, "window": 3,
        },
    }  # fmt: skip


def test_tokens_are_counted_as_they_are(tenant):
    said = message(tenant, 1500, unit="tokens", limit=1000, threshold=None)
    assert said["type"] == "budget.exhausted"
    budget = said["budget"]
    assert (budget["limit"], budget["threshold"], budget["spent"], budget["percent"]) == (1000, None, 1500, 150.0)
    assert "Used: 1,500 tokens of 1,000 tokens (150.0 %)" in mail_text(said)


def test_a_message_keeps_the_limit_of_its_moment(tenant):
    budget = make_budget(tenant, threshold=None)
    (event,) = spend(budget, 100 * NANO)
    budget.limit = 500 * NANO
    budget.save()
    event.refresh_from_db()
    assert message_of(event)["budget"]["limit"] == 100


def test_a_mail_says_when_the_budget_is_reset(tenant):
    said = message(tenant, 100 * NANO, threshold=None)
    assert "Next reset: none" in mail_text(said)
    said["budget"]["resets_at"] = "2030-01-06T00:00:00Z"
    assert "Next reset: 2030-01-06 00:00 UTC" in mail_text(said)


@pytest.mark.parametrize("field", ["name", "value_key"])
def test_in_slack_a_name_is_no_link_no_mention_and_no_second_line(tenant, field):
    evil = "<!channel> <https://evil.example|click> & *bold*\nnext"
    said = slack_json(message(tenant, 100 * NANO, kind="policy", threshold=None, **{field: evil}))
    (block,) = said["blocks"]
    for text in (said["text"], block["text"]["text"]):
        assert "<" not in text
        assert ">" not in text
        assert "&lt;!channel&gt; &lt;https://evil.example|click&gt; &amp; *bold* next" in text
    assert (said["mrkdwn"], block["text"]["type"], block["text"]["emoji"]) == (False, "plain_text", False)


@pytest.mark.parametrize("name", ["a\r\nb", "a\u2028b", "a\x85b", "a\x00b", "a\u202eb", "a \x1b b"])
def test_a_headline_is_one_line_whatever_the_name(tenant, name):
    said = message(tenant, 100 * NANO, threshold=None)
    said["budget"]["name"] = name
    assert headline(said) == "Gatehouse: the budget of Workspace “a b” is exhausted."


def test_a_long_name_is_cut_so_that_slack_takes_the_message(tenant):
    said = message(tenant, 100 * NANO, name="&" * 255, kind="policy", value_key="<" * 512)
    assert len(slack_json(said)["blocks"][0]["text"]["text"]) <= 3000
    assert len(headline(said)) < 500


def test_a_budget_without_a_name_is_named_by_its_owner(tenant):
    said = message(tenant, 100 * NANO, name="", threshold=None)
    assert said["budget"]["owner_id"] in headline(said)


def test_a_test_is_of_no_budget(tenant):
    said = trial_message(Destination(organisation=tenant.organisation))
    assert (said["type"], said["budget"]) == ("test", None)
    assert "test" in slack_json(said)["text"]
    assert str(tenant.organisation.pk) in mail_text(said)
