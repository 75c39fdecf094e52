"""Which limits of rate hold for an attempt?  Those of the caller once a request, those of the account each time."""

import hashlib
from collections.abc import Mapping
from typing import Final

from data_plane.core.exchange import Exchange
from data_plane.core.job import Job, Principal
from data_plane.core.limit import Limit, limits_of
from data_plane.limits.admission import Admission
from data_plane.pipeline.target import Destination
from shared.policies import Facts, is_about_route, matches, value_key
from shared.schema.rows import RatePolicyRow, VirtualKeyRow

#: What Portkey's policies call an operation, where it is not by our word for it.
_TYPES: Final[Mapping[str, str]] = {
    "chat": "chatComplete", "image": "imageGenerate", "edit_image": "imageEdit", "vary_image": "createImageVariation",
    "speech": "createSpeech", "transcribe": "createTranscription", "translate": "createTranslation",
    "responses": "createModelResponse",
}  # fmt: skip


def _of_caller(principal: Principal) -> tuple[Limit, ...]:
    key, workspace = principal.key, principal.ws
    limits: tuple[Limit, ...] = ()
    if key.rates:
        # Tokens of one person share a counter: a new token is no new allowance.
        scope = (
            f"k:{key.id}"
            if key.id
            else f"t:{workspace.id}:{hashlib.sha256((key.user or '').encode()).hexdigest()[:32]}"
        )
        limits = limits_of(scope, "this API key" if key.id else "this token", key.rates, True)
    if workspace.rates:
        limits += limits_of(f"ws:{workspace.id}", f"the workspace {workspace.name}", workspace.rates, True)
    return limits


def _of_account(row: VirtualKeyRow) -> tuple[Limit, ...]:
    limits: tuple[Limit, ...] = ()
    if row.rates:
        limits = limits_of(f"vk:{row.uid}", f"the provider @{row.slug}", row.rates, False)
    if row.account_rates:
        scope = f"int:{row.integration}:{row.ws}"
        limits += limits_of(scope, f"the account of @{row.slug} in this workspace", row.account_rates, False)
    return limits


def _facts(principal: Principal, job: Job, provider: str, row: VirtualKeyRow | None, model: str) -> Facts:
    """Return what policies may ask about a call, each in all its forms."""
    slug = row.slug if row is not None else None
    named = (slug, f"@{slug}") if slug else ()
    models = (model, job.model, *((f"@{slug}/{model}",) if slug else ()))
    facts: dict[str, tuple[str, ...]] = {
        "api_key": (principal.key.id,) if principal.key.id else (),
        "workspace_id": (principal.ws.id, principal.ws.slug),
        "organisation_id": (principal.org.id,),
        "virtual_key": named,
        "provider": (provider, *named),
        "config": (job.plan.slug,) if job.plan.slug else (),
        "model": tuple(each for each in models if each),
        "endpoint_type": (_TYPES.get(job.operation, job.operation), job.operation),
    }
    return facts | {f"metadata.{name}": (value,) for name, value in job.metadata.items()}


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
    if row is not None and (row.rates or row.account_rates):
        limits += _of_account(row)
    if policies and principal is not None:
        facts = _facts(principal, job, destination.provider.id, row, destination.facts.model)
        limits += _of_policies(policies, facts, first=first)
    if limits:
        await admission.admit(limits)
        exchange.limits += limits
    exchange.is_admitted = True
