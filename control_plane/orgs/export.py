"""What gateways need to know of an organisation and its workspaces."""

from collections.abc import Iterator

import msgspec

from control_plane.orgs.models import Organisation, Workspace
from shared.schema.rows import OrgRow, WorkspaceRow


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
        )
        yield "workspaces", str(workspace.pk), row
