"""What gateways need to know of API keys; keys of the whole organisation are for the Admin API only."""

from collections.abc import Iterator

import msgspec
from django.utils import timezone

from control_plane.budgets.services import Key, budget_rows, rows_among
from control_plane.core.limits import rate_rows
from control_plane.core.scopes import ORGANISATION_KEY
from control_plane.keys.models import ApiKey
from control_plane.orgs.models import Organisation
from shared.schema.rows import ApiKeyRow


def _payers(key: ApiKey) -> list[Key]:
    """Return whose budgets the calls of a key are paid from: its own, and its user's."""
    own: Key = ("api_key", key.pk, key.workspace_id)
    return [own] if key.user_id is None else [own, ("user", key.user_id, None)]


def export(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for each workspace key that has not expired."""
    now, budgets = timezone.now(), budget_rows(organisation)
    rows = ApiKey.objects.filter(organisation=organisation).exclude(type=ORGANISATION_KEY)
    for key in rows.select_related("user").iterator():
        if key.expires_at is not None and key.expires_at <= now:
            continue
        row = ApiKeyRow(
            id=str(key.pk),
            org=str(organisation.pk),
            ws=str(key.workspace_id),
            hashes=key.hashes_at(now),
            scopes=frozenset(key.scopes),
            name=key.name,
            user=key.user.email if key.user else None,
            expires=key.expires_at.timestamp() if key.expires_at else None,
            config=key.defaults.get("config_id"),
            allow_config_override=key.defaults.get("allow_config_override", True),
            metadata=key.defaults.get("metadata") or {},
            ips=tuple(key.allowed_ips) if key.allowed_ips is not None else None,
            models=tuple(key.allowed_models) if key.allowed_models is not None else None,
            rates=rate_rows(key.rate_limits),
            budgets=rows_among(budgets, *_payers(key)),
        )
        yield "api_keys", str(key.pk), row
