"""Which fields of an integration are kept in a secret manager?  References to them, checked before they are stored.

An integration of the organisation may be used in any workspace that is given access, so what it refers to must be
allowed in all of them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.dispatch import receiver

from control_plane.catalog.models import Integration, SecretMapping
from control_plane.core.errors import Invalid
from control_plane.vault.models import SecretReference
from control_plane.vault.references import User, asked_for_users, find_reference, is_allowed_in
from shared.schema.rows import SecretMappingRow
from shared.schema.target_settings import ADDRESS_SETTINGS, TARGET_SETTINGS

Json = dict[str, Any]

KEY: Final = "key"
FIELDS: Final = frozenset({"target_field", "secret_reference_id", "secret_key", "value_format"})
FORMATS: Final = ("json", "string")
_MOST: Final = 50
_PREFIXES: Final = ("configurations.", "model_config.")
#: Settings that say where a key is sent; those must be known when the key is bound to its hosts.
_NOT_SECRET: Final = frozenset({*ADDRESS_SETTINGS, "custom_host", "deployments"})
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def target_of(written: str) -> str:
    """Return the field that a mapping is for: `key` or `configurations.<setting>`.  Raises Invalid for any other."""
    if written == KEY:
        return KEY
    prefix = next((each for each in _PREFIXES if written.startswith(each)), None)
    name = _CAMEL.sub("_", written.removeprefix(prefix)).lower() if prefix else ""
    if name not in TARGET_SETTINGS or name in _NOT_SECRET:
        raise Invalid(f"secret_mappings: {written[:120]!r} is no field that a secret can stand in for")
    return f"configurations.{name}"


def mappings_json(rows: Iterable[SecretMapping]) -> list[Json]:
    """Return mappings as the API shows them."""
    return [
        {
            "target_field": row.target_field,
            "secret_reference_id": str(row.reference_id),
            "secret_key": row.secret_key or None,
            "value_format": row.value_format or None,
        }
        for row in rows
    ]


def mapping_rows(rows: Iterable[SecretMapping]) -> tuple[SecretMappingRow, ...]:
    """Return mappings as gateways get them."""
    return tuple(
        SecretMappingRow(row.target_field, str(row.reference_id), row.secret_key or None, row.value_format == "json")
        for row in rows
    )


def _reference(integration: Integration, named: str) -> SecretReference:
    reference = find_reference(integration.organisation_id, named)
    if reference is None or not is_allowed_in(reference, integration.workspace_id):
        where = "in this workspace" if integration.workspace_id else "in all workspaces, which may use this integration"
        raise Invalid(f"secret_mappings: no secret reference {named[:255]!r} is allowed {where}")
    return reference


def set_mappings(integration: Integration, given: list[Json]) -> None:
    """Replace the mappings of an integration that is stored; each is an object of `FIELDS`.

    Raises Invalid for a field that is mapped twice or that there is none of, and for a reference that the integration
    may not use.
    """
    if len(given) > _MOST:
        raise Invalid(f"secret_mappings: are more than {_MOST}")
    rows: dict[str, SecretMapping] = {}
    for entry in given:
        target = target_of(entry["target_field"])
        if target in rows:
            raise Invalid(f"secret_mappings: {target} is mapped twice")
        rows[target] = SecretMapping(
            organisation_id=integration.organisation_id,
            integration=integration,
            reference=_reference(integration, entry["secret_reference_id"]),
            target_field=target,
            secret_key=entry.get("secret_key") or "",
            value_format=entry.get("value_format") or "",
        )
    integration.mappings.all().delete()
    SecretMapping.objects.bulk_create(rows.values())


def refuse_both(given: Mapping[str, Any]) -> None:
    """Raise Invalid when a request gives a secret and maps it too."""
    targets = {target_of(entry["target_field"]) for entry in given.get("secret_mappings") or ()}
    said = {f"configurations.{name}" for name in given.get("configurations") or ()}
    if given.get(KEY):
        said.add(KEY)
    twice = sorted(targets & said)
    if twice:
        raise Invalid(f"secret_mappings: {twice[0]} is given as well: either is enough")


def _users(reference: SecretReference) -> Iterator[User]:
    rows = SecretMapping.objects.filter(reference=reference).select_related("integration").order_by("pk")
    integrations = {row.integration_id: row.integration for row in rows.prefetch_related("integration__virtual_keys")}
    for integration in integrations.values():
        keys = [each.slug for each in integration.virtual_keys.all()] if integration.is_own else []
        names = [f"virtual key {slug}" for slug in keys] or [f"integration {integration.slug}"]
        yield from (User(name, integration.workspace_id) for name in names)


@receiver(asked_for_users, dispatch_uid="catalog.mappings")
def tell_users(sender: object, *, reference: SecretReference, **_rest: object) -> list[User]:
    """Name the integrations and virtual keys that use a secret reference."""
    return list(_users(reference))
