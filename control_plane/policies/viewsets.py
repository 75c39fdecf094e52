"""Policies in the Admin API."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.budgets.models import STATUSES as USAGE_STATUSES
from control_plane.budgets.models import Budget
from control_plane.budgets.services import POLICY, reset
from control_plane.budgets.usage import with_usage
from control_plane.core import limits
from control_plane.core.errors import Missing
from control_plane.core.resources import Json, ReadOnlyViewSet, ResourceViewSet, choice_of, filters_of, resource
from control_plane.core.tenancy import by_id_or_slug, resolve_home, visible_to
from control_plane.orgs.models import Workspace
from control_plane.policies import services
from control_plane.policies.models import ACTIVE, STATUSES, RateLimitPolicy, UsageLimitPolicy
from control_plane.policies.serializers import (
    RatePolicySerializer,
    UsagePolicySerializer,
    rate_policy_json,
    usage_json,
    usage_map,
    usage_policy_json,
)

#: The most value keys that a policy is shown with; all of them are listed under its `entities`.
MAX_SHOWN_USAGES = 1000
_STATUSES = tuple(name for name, _ in STATUSES)


class _PolicyViewSet(ResourceViewSet):
    """What both kinds share: an archived policy is found only by who asks for it."""

    slug_field: ClassVar[str | None] = None
    types: ClassVar[tuple[str, ...]] = ()

    def get_queryset(self) -> QuerySet[Any]:
        """Return the policies of the status that the query names, by default the active ones."""
        status = choice_of(filters_of(self.request), "status", _STATUSES, ACTIVE)
        return super().get_queryset().filter(status=status)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by type."""
        kind = choice_of(filters_of(self.request), "type", self.types)
        return queryset.filter(type=kind) if kind else queryset

    def home(self, given: Json) -> Workspace | None:
        """Return the workspace of a new policy; a key of the organisation that names none means all of them."""
        found: Workspace | None = resolve_home(self.principal, given.get("workspace_id"), given.get("organisation_id"))
        return found

    def remove(self, row: Any) -> Json:
        """Archive a policy."""
        services.archive_policy(self.principal, row)
        return {}


@resource("policies/usage-limits", scope="policies")
class UsagePolicyViewSet(_PolicyViewSet):
    """Policies of usage: budgets of cost, tokens or requests."""

    queryset = with_usage(UsageLimitPolicy.objects.all(), POLICY)
    serializer_class = UsagePolicySerializer
    types = limits.POLICY_BUDGETS
    filters: ClassVar[dict[str, str]] = {"status": "active or archived", "type": "cost, tokens or requests"}
    example: ClassVar[Json] = {
        "name": "Monthly cost of each user",
        "conditions": [{"key": "model", "value": "@openai/*", "excludes": ["@openai/gpt-4o-mini"]}],
        "group_by": [{"key": "metadata._user"}],
        "type": "cost",
        "credit_limit": 100.5,
        "alert_threshold": 80,
        "periodic_reset": "monthly",
    }
    example_change: ClassVar[Json] = {"credit_limit": 200, "alert_threshold": 150.25, "periodic_reset": "weekly"}

    def show_in_list(self, row: UsageLimitPolicy) -> Json:
        """Return a policy."""
        return usage_policy_json(row)

    def show(self, row: UsageLimitPolicy) -> Json:
        """Return a policy, with what was used of it when the query says `include_usage=true`."""
        wanted = choice_of(filters_of(self.request), "include_usage", ("true", "false"), "false")
        if wanted == "false":
            return usage_policy_json(row)
        usages = services.counters_of(row).order_by("-spent", "pk")[:MAX_SHOWN_USAGES]
        return {**usage_policy_json(row), "value_key_usage_map": usage_map(usages)}

    def make(self, given: Json) -> Json:
        """Make a policy."""
        row = services.create_usage_policy(self.principal, self.home(given), given)
        return {"id": str(row.pk), "object": "policy_usage_limits"}

    def change(self, row: UsageLimitPolicy, given: Json) -> Json:
        """Change a policy, or set the usage of one value back."""
        services.update_usage_policy(self.principal, row, given)
        return {}


@resource("policies/rate-limits", scope="policies")
class RatePolicyViewSet(_PolicyViewSet):
    """Policies of rate: requests or tokens in a time."""

    queryset = RateLimitPolicy.objects.all()
    serializer_class = RatePolicySerializer
    types = limits.RATES
    filters: ClassVar[dict[str, str]] = {
        "status": "active or archived",
        "type": "requests or tokens",
        "unit": "rpm, rph, rpd or rpw",
    }
    example: ClassVar[Json] = {
        "name": "Requests of each key",
        "conditions": [{"key": "metadata.team", "value": ["search", "support"]}],
        "group_by": [{"key": "api_key"}],
        "type": "requests",
        "unit": "rpm",
        "value": 100,
    }
    example_change: ClassVar[Json] = {"name": "Requests of each key, an hour", "unit": "rph", "value": 1000}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by type and unit."""
        unit = choice_of(filters_of(self.request), "unit", limits.UNITS)
        queryset = super().filter_queryset(queryset)
        return queryset.filter(unit=unit) if unit else queryset

    def show(self, row: RateLimitPolicy) -> Json:
        """Return a policy."""
        return rate_policy_json(row)

    def make(self, given: Json) -> Json:
        """Make a policy."""
        row = services.create_rate_policy(self.principal, self.home(given), given)
        return {"id": str(row.pk), "object": "policy_rate_limits"}

    def change(self, row: RateLimitPolicy, given: Json) -> Json:
        """Change a policy."""
        services.update_rate_policy(self.principal, row, given)
        return {}


@resource("policies/usage-limits/(?P<policy>[^/]+)/entities", scope="policies")
class PolicyUsageViewSet(ReadOnlyViewSet):
    """What each value key has used of a policy."""

    queryset = Budget.objects.filter(kind=POLICY)
    slug_field: ClassVar[str | None] = None
    verbs: ClassVar[dict[str, str]] = {"reset": "update"}
    filters: ClassVar[dict[str, str]] = {"status": "active or exhausted", "search": "Part of the value key"}

    def get_queryset(self) -> QuerySet[Any]:
        """Return the usages of the policy that the path names; raise Missing when the caller does not see it."""
        policies = visible_to(UsageLimitPolicy.objects.all(), self.principal)
        policy = policies.filter(by_id_or_slug(str(self.kwargs["policy"]), None)).first()
        if policy is None:
            raise Missing
        return super().get_queryset().filter(pk__in=services.counters_of(policy).values("pk"))

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by status and part of the value key."""
        query = filters_of(self.request)
        status = choice_of(query, "status", [name for name, _ in USAGE_STATUSES])
        if status:
            queryset = queryset.filter(status=status)
        return queryset.filter(value_key__icontains=query["search"]) if "search" in query else queryset

    def show(self, row: Budget) -> Json:
        """Return what one value key has used."""
        return usage_json(row)

    @action(detail=True, methods=["put"])
    def reset(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Set the usage of a value key back to 0."""
        reset(self.principal, self.get_object())
        return Response({})
