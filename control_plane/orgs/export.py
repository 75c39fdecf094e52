"""What gateways need to know of an organisation and its workspaces."""

from collections.abc import Iterator

import msgspec

from control_plane.budgets.services import budget_rows, rows_among
from control_plane.core.limits import rate_rows
from control_plane.orgs.limits import ORGANISATION, WORKSPACE, assumed_output, unpriced_rule
from control_plane.orgs.models import Organisation, TokenKeys, Workspace
from shared.schema.rows import OrgRow, TokenKey, TokenKeysRow, WorkspaceRow


def export(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for the organisation itself and each of its workspaces."""
    budgets = budget_rows(organisation)
    whole = OrgRow(
        id=str(organisation.pk),
        name=organisation.name,
        block_inline=organisation.block_inline,
        rates=rate_rows(organisation.rate_limits),
        budgets=rows_among(budgets, (ORGANISATION, organisation.pk, None)),
        unpriced=unpriced_rule(organisation.budget_rules),
        assumed_output=assumed_output(organisation.budget_rules),
    )
    yield "orgs", str(organisation.pk), whole
    for workspace in Workspace.objects.filter(organisation=organisation).iterator():
        row = WorkspaceRow(
            id=str(workspace.pk),
            org=str(organisation.pk),
            slug=workspace.slug,
            name=workspace.name,
            payload=workspace.payload_policy,  # type: ignore[arg-type]  # the column's choices are the literal's
            metadata=workspace.defaults.get("metadata") or {},
            rates=rate_rows(workspace.rate_limits),
            budgets=rows_among(budgets, (WORKSPACE, workspace.pk, workspace.pk)),
        )
        yield "workspaces", str(workspace.pk), row


def export_token_keys(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for the keys of the organisation's tokens, if it has any."""
    for row in TokenKeys.objects.filter(organisation=organisation):
        keys = tuple(TokenKey(key["kid"], key["n"], key["e"]) for key in row.keys)
        yield "token_keys", str(organisation.pk), TokenKeysRow(str(organisation.pk), keys)
