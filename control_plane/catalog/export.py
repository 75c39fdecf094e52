"""What gateways need to know of virtual keys; their credentials travel sealed, in a section of their own."""

from collections.abc import Iterator

import msgspec

from control_plane.catalog.models import VirtualKey
from control_plane.orgs.models import Organisation
from shared.schema.rows import VirtualKeyRow


def export(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for each virtual key whose integration is active."""
    rows = VirtualKey.objects.filter(organisation=organisation, integration__status="active")
    for virtual_key in rows.select_related("integration").iterator():
        integration = virtual_key.integration
        settings = {name: str(value) for name, value in integration.configurations.items() if name != "custom_host"}
        row = VirtualKeyRow(
            id=str(virtual_key.pk),
            org=str(organisation.pk),
            ws=str(virtual_key.workspace_id),
            slug=virtual_key.slug,
            provider=integration.ai_provider_id,
            integration=str(integration.pk),
            secret=str(integration.secret_id) if integration.secret_id else None,
            custom_host=integration.custom_host,
            settings=settings,
            expires=virtual_key.expires_at.timestamp() if virtual_key.expires_at else None,
        )
        yield "virtual_keys", f"{virtual_key.workspace_id}/{virtual_key.slug}", row
