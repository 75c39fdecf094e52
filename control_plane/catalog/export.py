"""What gateways need to know of custom providers and virtual keys; credentials travel sealed, in another section."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from control_plane.budgets.services import budget_rows, rows_among
from control_plane.catalog.access import with_access
from control_plane.catalog.allowed_models import models_for_gateways
from control_plane.catalog.budgets import IN_WORKSPACE, INTEGRATION, VIRTUAL_KEY
from control_plane.catalog.deployments import DEPLOYMENTS, deployment_rows
from control_plane.catalog.mappings import mapping_rows
from control_plane.catalog.models import CustomProvider, Integration, IntegrationAccess, VirtualKey
from control_plane.core.limits import rate_rows
from control_plane.orgs.models import Organisation
from shared.schema.rows import CustomProviderRow, VirtualKeyRow

_BATCH: Final = 500
_NO_SETTINGS: Final = frozenset({"custom_host", DEPLOYMENTS})


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
    """Yield (section, row id, row) for each virtual key whose integration is active and open to its workspace."""
    accesses = IntegrationAccess.objects.filter(organisation=organisation)
    said = {(each.integration_id, each.workspace_id): each.rate_limits for each in accesses}
    budgets = budget_rows(organisation)
    active = VirtualKey.objects.filter(organisation=organisation, integration__status="active")
    rows = with_access(active.select_related("integration"))
    for virtual_key in rows.prefetch_related("integration__models", "integration__mappings").iterator(_BATCH):
        integration, of = virtual_key.integration, (virtual_key.integration_id, virtual_key.workspace_id)
        if not virtual_key.has_access:
            continue
        row = VirtualKeyRow(
            id=str(virtual_key.pk),
            org=str(organisation.pk),
            ws=str(virtual_key.workspace_id),
            slug=virtual_key.slug,
            provider=integration.ai_provider_id,
            integration=str(integration.pk),
            secret=str(integration.secret_id) if integration.secret_id else None,
            custom_host=integration.custom_host,
            expires=virtual_key.expires_at.timestamp() if virtual_key.expires_at else None,
            rates=rate_rows(virtual_key.rate_limits),
            account_rates=rate_rows(said.get(of, integration.global_rate_limits)),
            integration_rates=rate_rows(integration.rate_limits),
            budgets=rows_among(
                budgets,
                (VIRTUAL_KEY, virtual_key.pk, virtual_key.workspace_id),
                (IN_WORKSPACE, *of),
                (INTEGRATION, integration.pk, None),
            ),
            **_of_account(integration),
        )
        yield "virtual_keys", f"{virtual_key.workspace_id}/{virtual_key.slug}", row


def _of_account(integration: Integration) -> dict[str, Any]:
    said = integration.configurations
    return {
        "settings": {name: str(value) for name, value in said.items() if name not in _NO_SETTINGS},
        "deployments": deployment_rows(said.get(DEPLOYMENTS) or []),
        "secret_mappings": mapping_rows(integration.mappings.all()),
        **models_for_gateways(integration),
    }
