"""What is said when a budget's threshold or limit is reached: to programs, in Slack, and by e-mail?

The JSON of a webhook is the message; the other two are made of it.  Names come from users: in Slack they cannot become
links or mentions, in an e-mail no headers.
"""

from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from control_plane.alerts.models import Destination
from control_plane.budgets.models import KINDS, Budget, BudgetEvent
from control_plane.core.fields import iso
from control_plane.core.limits import COST, plain
from shared.ids import uuid7

Json = dict[str, Any]
TEST: Final = "test"
_KIND_NAMES: Final = dict(KINDS)
_REACHED: Final = {"budget.threshold": "reached its alert threshold", "budget.exhausted": "is exhausted"}
_MOST_NAME_CHARS: Final = 200


def _amount(budget: Budget, stored: int | None) -> int | float | None:
    return None if stored is None else plain(budget.counted(stored))


def budget_json(event: BudgetEvent) -> Json:
    """Return where a budget stood when something happened to it; cost in US dollars, else counts."""
    budget = event.budget
    return {
        "kind": budget.kind,
        "owner_id": str(budget.owner_id),
        "name": budget.name,
        "value_key": budget.value_key,
        "unit": budget.unit,
        "limit": _amount(budget, event.limit),
        "threshold": _amount(budget, budget.threshold),
        "spent": _amount(budget, event.spent),
        "percent": round(100 * event.spent / event.limit, 1) if event.limit else None,
        "resets_at": iso(budget.next_reset_at),
        "window": event.window,
    }


def message_of(event: BudgetEvent) -> Json:
    """Return what is told of an event."""
    return {
        "type": f"budget.{event.what}",
        "id": str(event.pk),
        "created_at": iso(event.created_at),
        "organisation_id": str(event.organisation_id),
        "workspace_id": str(event.workspace_id) if event.workspace_id else None,
        "budget": budget_json(event),
    }


def trial_message(row: Destination) -> Json:
    """Return what is sent to see whether a destination works: a message of the type `test`, of no budget."""
    return {
        "type": TEST,
        "id": str(uuid7()),
        "created_at": iso(timezone.now()),
        "organisation_id": str(row.organisation_id),
        "workspace_id": str(row.workspace_id) if row.workspace_id else None,
        "budget": None,
    }


def _one_line(text: str) -> str:
    """Return a text without line breaks and other control characters, cut where it is too long for a sentence."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MOST_NAME_CHARS else f"{line[: _MOST_NAME_CHARS - 1]}…"


def _counted(amount: float | None, unit: str) -> str:
    if amount is None:
        return "–"
    return f"${amount:,.2f}" if unit == COST else f"{amount:,} {unit}"


def _named(budget: Json) -> str:
    kind = _KIND_NAMES.get(budget["kind"], budget["kind"])
    named = f"{kind} “{_one_line(budget['name'] or budget['owner_id'])}”"
    return f"{named}, {_one_line(budget['value_key'])}" if budget["value_key"] else named


def headline(message: Json) -> str:
    """Return a message in one sentence, on one line."""
    if message["type"] == TEST:
        return "Gatehouse: this is a test. Alerts about budgets arrive here."
    budget = message["budget"]
    return f"Gatehouse: the budget of {_named(budget)} {_REACHED[message['type']]}."


def lines(message: Json) -> list[str]:
    """Return what stands below the headline."""
    budget = message["budget"]
    if budget is None:
        return []
    unit, spent = budget["unit"], budget["spent"]
    share = "" if budget["percent"] is None else f" ({budget['percent']} %)"
    found = [f"Used: {_counted(spent, unit)} of {_counted(budget['limit'], unit)}{share}"]
    if budget["threshold"] is not None:
        found.append(f"Alert threshold: {_counted(budget['threshold'], unit)}")
    found.append(f"Next reset: {_spelt(budget['resets_at'])}")
    if message["type"] == "budget.exhausted":
        found.append("Requests that it applies to are refused until it is reset or raised.")
    return found


def _spelt(moment: str | None) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC" if moment else "none"


def _escaped(text: str) -> str:
    """Return a text that Slack shows as it is: these three characters begin and end its markup for links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def slack_json(message: Json) -> Json:
    """Return a message as Slack's incoming webhooks read it."""
    first = _escaped(headline(message))
    text = "\n".join([first, *(_escaped(line) for line in lines(message))])
    # In plain text nothing is bold and nothing a link, whatever names hold.
    block = {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}
    return {"text": first, "mrkdwn": False, "blocks": [block]}


def mail_text(message: Json) -> str:
    """Return the body of an e-mail."""
    ids = [f"Organisation: {message['organisation_id']}"]
    if message["workspace_id"]:
        ids.append(f"Workspace: {message['workspace_id']}")
    return "\n".join([headline(message), "", *lines(message), *ids, ""])
