"""Which limits of rate hold for an attempt?  Those of the caller once a request, those of the account each time."""

import hashlib

from data_plane.core.exchange import Exchange
from data_plane.core.job import Job, Principal
from data_plane.core.limit import Limit, limits_of
from data_plane.limits.admission import Admission
from data_plane.pipeline.signed_token import subject_of
from data_plane.pipeline.target import Destination
from shared.policies import Facts, PolicyCall, facts_of, is_about_route, matches, value_key
from shared.schema.limits import RatePolicyRow
from shared.schema.rows import VirtualKeyRow


def _of_caller(principal: Principal) -> tuple[Limit, ...]:
    key, workspace, organisation = principal.key, principal.ws, principal.org
    limits: tuple[Limit, ...] = ()
    if key.rates:
        scope = f"k:{key.id}" if key.id else f"t:{workspace.id}:{subject_of(key.user)}"
        limits = limits_of(scope, "this API key" if key.id else "this token", key.rates, True)
    if workspace.rates:
        limits += limits_of(f"ws:{workspace.id}", f"the workspace {workspace.name}", workspace.rates, True)
    if organisation.rates:
        limits += limits_of(f"org:{organisation.id}", f"the organisation {organisation.name}", organisation.rates, True)
    return limits


def _of_account(row: VirtualKeyRow) -> tuple[Limit, ...]:
    limits: tuple[Limit, ...] = ()
    if row.rates:
        limits = limits_of(f"vk:{row.uid}", f"the provider @{row.slug}", row.rates, False)
    if row.account_rates:
        scope = f"int:{row.integration}:{row.ws}"
        limits += limits_of(scope, f"the account of @{row.slug} in this workspace", row.account_rates, False)
    if row.integration_rates:
        limits += limits_of(f"int:{row.integration}", f"the account of @{row.slug}", row.integration_rates, False)
    return limits


def attempt_facts(principal: Principal, job: Job, provider: str, row: VirtualKeyRow | None, model: str) -> Facts:
    """Return what policies may ask about an attempt."""
    return facts_of(
        PolicyCall(
            organisation=principal.org.id,
            workspace=principal.ws.id,
            workspace_slug=principal.ws.slug,
            operation=job.operation,
            api_key=principal.key.id,
            provider=provider,
            virtual_key=row.slug if row is not None else "",
            config=job.plan.slug or "",
            sent=model,
            asked=job.model,
            metadata=job.metadata,
        )
    )


def _of_policies(policies: tuple[RatePolicyRow, ...], facts: Facts, *, first: bool) -> tuple[Limit, ...]:
    limits = []
    for policy in policies:
        of_route = is_about_route(policy)
        if (first or of_route) and matches(policy, facts):
            group = hashlib.sha256(value_key(policy, facts).encode()).hexdigest()[:32]
            owner = f"the policy {policy.name}" if policy.name else "a policy"
            scope = f"pol:{policy.id}:{group}"
            limits.append(Limit(scope, owner, policy.type, policy.unit, policy.value, of_caller=not of_route))
    return tuple(limits)


async def admit(
    exchange: Exchange, destination: Destination, job: Job, policies: tuple[RatePolicyRow, ...], admission: Admission
) -> None:
    """Count an attempt; raises RateLimited when a limit is full.

    What is counted stands on the exchange, so that the tokens it takes can be counted at the end.
    """
    principal, row = exchange.principal, destination.virtual_key
    # An attempt that failed before it was counted does not stand for the request.
    first = not exchange.is_admitted
    limits = _of_caller(principal) if principal is not None and first else ()
    if row is not None and (row.rates or row.account_rates or row.integration_rates):
        limits += _of_account(row)
    if policies and principal is not None:
        facts = attempt_facts(principal, job, destination.provider.id, row, destination.facts.model)
        limits += _of_policies(policies, facts, first=first)
    if limits:
        await admission.admit(limits)
        exchange.limits += limits
    exchange.is_admitted = True
