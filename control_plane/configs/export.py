"""What gateways need to know of configs: the active version of each active one."""

from collections.abc import Iterator

import msgspec

from control_plane.configs.models import Config
from control_plane.orgs.models import Organisation
from shared.schema.rows import ConfigRow


def export(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for each config that requests may name."""
    rows = Config.objects.filter(organisation=organisation, status="active").exclude(active=None)
    for config in rows.select_related("active").iterator():
        row = ConfigRow(
            id=str(config.pk),
            org=str(organisation.pk),
            ws=str(config.workspace_id),
            slug=config.slug,
            version=str(config.active_id),
            body=config.body,
        )
        yield "configs", f"{config.workspace_id}/{config.slug}", row
