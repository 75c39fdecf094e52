"""What gateways need to know of custom providers and virtual keys; credentials travel sealed, in another section."""

from collections.abc import Iterator

import msgspec

from control_plane.catalog.models import CustomProvider, VirtualKey
from control_plane.orgs.models import Organisation
from shared.schema.rows import CustomProviderRow, VirtualKeyRow


def row_of(provider: CustomProvider) -> CustomProviderRow:
    """Return a custom provider as gateways get it."""
    fields = {
        "id": str(provider.pk),
        "org": str(provider.organisation_id),
        **{name: getattr(provider, name) for name in ("slug", "name", "base_url", "auth", "headers", "endpoints")},
        "parameters": provider.parameters,
        "streams_usage": provider.streams_usage,
        "price_source": provider.price_source or None,
    }
    return msgspec.convert(fields, CustomProviderRow)


def export_providers(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for each custom provider."""
    for provider in CustomProvider.objects.filter(organisation=organisation).iterator():
        yield "custom_providers", f"{organisation.pk}/{provider.slug}", row_of(provider)


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
