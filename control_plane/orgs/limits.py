"""How much may an organisation, a workspace and a person use, and what do calls count whose cost nobody knows?

`budget_rules` of an organisation has `unpriced`, what a call of an unpriced model takes from a budget of cost (US
dollars per million tokens), and `assumed_output_tokens`, what is set aside for an answer that may be of any length.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from django.db import transaction
from rest_framework import serializers

from control_plane.budgets.models import Budget
from control_plane.budgets.services import clear_budgets, reset, set_budget
from control_plane.budgets.usage import budget_of, set_used
from control_plane.core import audit
from control_plane.core.limits import amount, plain
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.orgs.models import Membership, Organisation, Workspace
from shared.money import NANO, from_dollars
from shared.schema.limits import UnpricedRule
from shared.schema.rows import OrgRow

Json = dict[str, Any]
ORGANISATION: Final = "organisation"
WORKSPACE: Final = "workspace"
USER: Final = "user"
RULES: Final = ("dearest", "fixed", "refuse")
MOST_DOLLARS: Final = 1_000_000
MOST_TOKENS: Final = 10_000_000
_PRICES: Final = ("input_per_million", "output_per_million")
_CONCERNED: Final = frozenset({"name", "usage_limits", "reset_usage"})


class DollarsField(serializers.Field[int | float, Any, Any, Any]):
    """A price in US dollars."""

    openapi: ClassVar[Json] = {"type": "number", "minimum": 0, "maximum": MOST_DOLLARS}

    def to_internal_value(self, data: Any) -> int | float:
        """Return the number; raise ValidationError for anything else."""
        number = amount(data)
        if number is None or not 0 <= number <= MOST_DOLLARS:
            raise serializers.ValidationError(f"must be a number of 0 to {MOST_DOLLARS}")
        return plain(number)


class UnpricedSerializer(serializers.Serializer[Any]):
    """What a call takes from a budget of cost when nobody knows its price."""

    rule = serializers.ChoiceField(choices=RULES, default="dearest")
    input_per_million = DollarsField(required=False)
    output_per_million = DollarsField(required=False)


class BudgetRulesSerializer(serializers.Serializer[Any]):
    """What holds for calls under a budget; what is not named is as it is by default."""

    unpriced = UnpricedSerializer(required=False)
    assumed_output_tokens = serializers.IntegerField(required=False, min_value=1, max_value=MOST_TOKENS)


def unpriced_rule(rules: Mapping[str, Any]) -> UnpricedRule:
    """Return what the rules of an organisation say of unpriced calls, as gateways get it."""
    said = rules.get("unpriced") or {}
    usual = UnpricedRule()
    prices = [
        from_dollars(number) if (number := amount(said.get(name))) is not None else default
        for name, default in zip(_PRICES, (usual.input, usual.output), strict=True)
    ]
    return UnpricedRule(said.get("rule", usual.rule), *prices)


def assumed_output(rules: Mapping[str, Any]) -> int:
    """Return how many tokens are set aside for an answer of any length."""
    usual: int = OrgRow("", "").assumed_output
    return int(rules.get("assumed_output_tokens") or usual)


def budget_rules_json(rules: Mapping[str, Any]) -> Json:
    """Return the rules of an organisation as the API shows them, those that nobody has set too."""
    rule = unpriced_rule(rules)
    return {
        "unpriced": {
            "rule": rule.rule,
            "input_per_million": rule.input / NANO,
            "output_per_million": rule.output / NANO,
        },
        "assumed_output_tokens": assumed_output(rules),
    }


def _keep(row: Organisation | Workspace | Membership) -> Budget | None:
    match row:
        case Organisation():
            kind, owner_id, organisation_id, workspace_id, name = ORGANISATION, row.pk, row.pk, None, row.name
        case Workspace():
            kind, owner_id, organisation_id, workspace_id = WORKSPACE, row.pk, row.organisation_id, row.pk
            name = row.name
        case Membership():
            kind, owner_id, organisation_id, workspace_id = USER, row.user_id, row.organisation_id, None
            name = row.user.email
    return set_budget(
        kind,
        owner_id,
        organisation_id=organisation_id,
        workspace_id=workspace_id,
        name=name,
        limits=row.usage_limits,
    )


def keep_budget(actor: Principal, row: Organisation | Workspace | Membership, given: Mapping[str, Any]) -> None:
    """Bring a row's budget in line with what was just said of it: `usage_limits`, `name`, `reset_usage`."""
    if given.keys().isdisjoint(_CONCERNED):
        return
    budget = _keep(row)
    if budget is not None and given.get("reset_usage"):
        budget = reset(actor, budget)
    set_used(row, budget)


def make_budget(row: Workspace) -> None:
    """Give a new workspace its budget, if it has a limit."""
    if row.usage_limits is not None:
        set_used(row, _keep(row))


def load_used(row: Organisation) -> Organisation:
    """Return an organisation that knows what was used of its budget."""
    set_used(row, budget_of(row.pk, ORGANISATION, row.pk))
    return row


@transaction.atomic
def set_user_limit(actor: Principal, membership: Membership, given: Mapping[str, Any]) -> Membership:
    """Set what all keys of a person may use together: `usage_limits`; `reset_usage`: usage until now counts no more."""
    row = Membership.objects.select_for_update(of=("self",)).select_related("user").get(pk=membership.pk)
    before = {"usage_limits": row.usage_limits}
    if "usage_limits" in given:
        row.usage_limits = given["usage_limits"]
        row.save(update_fields=["usage_limits"])
    keep_budget(actor, row, given)
    audit.record(actor, "update", row.user, before=before, after={"usage_limits": row.usage_limits})
    touch(row.organisation_id, ("api_keys",))
    return row


def drop_user_limit(membership: Membership) -> None:
    """Take the limit of a person who leaves."""
    clear_budgets(USER, membership.user_id, organisation_id=membership.organisation_id)
