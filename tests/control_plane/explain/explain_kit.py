"""Budgets as they stand, records as they come, and explanations as callers get them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from control_plane.budgets.models import Budget
from control_plane.explain.services import explain
from control_plane.policies.services import create_rate_policy, create_usage_policy
from shared.money import NANO
from tests.control_plane.factories import make_key, make_virtual_key
from tests.control_plane.logs.log_kit import US, Gateway, make_record

HOUR = timedelta(hours=1)


def make_budget(tenant, kind, owner_id, *, dollars=10, unit="cost", spent=0, reserved=0, **fields):
    """A budget of `dollars`, or of as many tokens; of which so many nano-dollars or tokens were used."""
    limit = dollars * NANO if unit == "cost" else dollars
    used = {"unit": unit, "limit": limit, "spent": spent, "committed": spent + reserved}
    made = Budget.objects.create(organisation=tenant.organisation, kind=kind, owner_id=owner_id, **used, **fields)
    created = fields.get("created_at") or datetime.now(UTC) - 10 * HOUR
    Budget.objects.filter(pk=made.pk).update(created_at=created)
    made.created_at = created
    return made


def ask(tenant, **query):
    """What holds for a call, as the service has it."""
    return explain(tenant.actor, query)


def found(explanation, level, what="budget", unit=None):
    """The one limit of a level: (rule, standing)."""
    rules = zip(explanation.rules, explanation.standings, strict=True)
    (one,) = [
        (rule, standing)
        for rule, standing in rules
        if (rule.owner.level, rule.what) == (level, what) and unit in {None, rule.unit}
    ]
    return one


def ship(tenant, *records):
    """Records of the tenant, stored as gateways send them."""
    Gateway(tenant).send_records(*(make_record(tenant, **fields) for fields in records))


def us(moment):
    """A moment in Unix microseconds."""
    return int(moment.timestamp() * US)


def key_and_provider(tenant, **given):
    """An API key and a virtual key `main` of the tenant."""
    return make_key(tenant, **given).row, make_virtual_key(tenant, "Main", slug="main")


def rate_policy(tenant, key="metadata.team", value="search", group="api_key", workspace=None, **fields):
    """A policy of rate for one value of one key."""
    given = {"name": "Rate", "type": "requests", "unit": "rpm", "value": 10, **fields}
    given |= {"conditions": [{"key": key, "value": value}], "group_by": [{"key": group}]}
    return create_rate_policy(tenant.actor, workspace, given)


def usage_policy(tenant, key="metadata.team", value="search", group="metadata._user", workspace=None, **fields):
    """A budget by policy for one value of one key."""
    given = {"name": "Usage", "type": "tokens", "credit_limit": 1000, **fields}
    given |= {"conditions": [{"key": key, "value": value}], "group_by": [{"key": group}]}
    return create_usage_policy(tenant.actor, workspace, given)


def counter(tenant, policy, value_key, spent):
    """What one group of a policy has used."""
    base = Budget.objects.get(owner_id=policy.pk, value_key="")
    copied = {name: getattr(base, name) for name in ("unit", "limit", "workspace_id", "next_reset_at", "name")}
    made = Budget.objects.create(
        organisation=tenant.organisation, kind="policy", owner_id=policy.pk, value_key=value_key, spent=spent,
        committed=spent, **copied,
    )  # fmt: skip
    return UUID(str(made.pk))
