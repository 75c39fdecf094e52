"""What gateways need to know of an organisation and its workspaces."""

from collections.abc import Iterator

import msgspec

from control_plane.core.limits import rate_rows
from control_plane.orgs.models import Organisation, TokenKeys, Workspace
from shared.schema.rows import OrgRow, TokenKey, TokenKeysRow, WorkspaceRow


def export(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for the organisation itself and each of its workspaces."""
    yield "orgs", str(organisation.pk), OrgRow(str(organisation.pk), organisation.name, organisation.block_inline)
    for workspace in Workspace.objects.filter(organisation=organisation).iterator():
        row = WorkspaceRow(
            id=str(workspace.pk),
            org=str(organisation.pk),
            slug=workspace.slug,
            name=workspace.name,
            payload=workspace.payload_policy,  # type: ignore[arg-type]  # the column's choices are the literal's
            metadata=workspace.defaults.get("metadata") or {},
            rates=rate_rows(workspace.rate_limits),
        )
        yield "workspaces", str(workspace.pk), row


def export_token_keys(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for the keys of the organisation's tokens, if it has any."""
    for row in TokenKeys.objects.filter(organisation=organisation):
        keys = tuple(TokenKey(key["kid"], key["n"], key["e"]) for key in row.keys)
        yield "token_keys", str(organisation.pk), TokenKeysRow(str(organisation.pk), keys)
