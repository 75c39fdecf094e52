"""Configs as the Admin API reads and writes them.

What is saved is checked by the code that gateways run, so what is saved can be served.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from rest_framework import serializers

from control_plane.configs.models import Config, ConfigVersion
from control_plane.core.audit import names_secret
from control_plane.core.errors import Invalid
from control_plane.core.fields import iso, object_of
from control_plane.core.serializers import TenantSerializer
from shared.hosts import check_custom_host
from shared.schema.config import Config as ParsedConfig
from shared.schema.config import parse_config

Json = dict[str, Any]


def _levels(config: ParsedConfig, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ParsedConfig]]:
    yield path, config
    for index, target in enumerate(config.targets):
        yield from _levels(target, (*path, "targets", str(index)))


def _credentials(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the paths of credentials; what is inside parameters for the model is not ours to judge."""
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        if isinstance(item, str) and names_secret(name):
            yield ",".join((*path, name))
    targets = value.get("targets")
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        yield from _credentials(target, (*path, "targets", str(index)))


def check_body(body: object) -> Json:
    """Return a config's body when gateways can serve it.

    Raises InvalidConfig with every fault of the language; Invalid for a host that may not be used, or a credential:
    a saved config is kept and sent in plain text, so it names a virtual key instead.
    """
    faults = []
    for path, level in _levels(parse_config(body)):
        if level.custom_host:
            try:
                check_custom_host(level.custom_host, settings.TRUSTED_CUSTOM_HOSTS)
            except ValueError as fault:
                faults.append(f"path: {','.join((*path, 'custom_host'))}, message: {fault}")
    faults += [
        f"path: {path}, message: a saved config may not hold a credential; use a virtual key"
        for path in _credentials(body)
    ]
    if faults or not isinstance(body, dict):
        raise Invalid("Invalid config passed. " + " ".join(faults), errors=faults)
    return body


class BodyField(serializers.JSONField):
    """A config's body: an object, or the text of one."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the decoded body; it is checked by the service that saves it."""
        return object_of(data)


class ConfigSerializer(TenantSerializer):
    """A request to make or change a config."""

    name = serializers.CharField(max_length=255)
    config = BodyField()
    status = serializers.ChoiceField(choices=("active", "archived"), required=False)
    is_default = serializers.BooleanField(required=False, allow_null=True)
    isDefault = serializers.BooleanField(required=False, allow_null=True)  # noqa: N815 -- the contract's name

    def validate(self, attrs: Json) -> Json:
        """Accept both spellings of `is_default`."""
        other = attrs.pop("isDefault", None)
        if attrs.get("is_default") is None:
            attrs.pop("is_default", None)
        return attrs if other is None else {"is_default": other, **attrs}


def listed_config_json(config: Config) -> Json:
    """Return a config without its body."""
    return {
        "id": str(config.pk),
        "name": config.name,
        "slug": config.slug,
        "organisation_id": str(config.organisation_id),
        "workspace_id": str(config.workspace_id),
        "is_default": int(config.is_default),
        "status": config.status,
        "owner_id": config.owner_id,
        "updated_by": config.updated_by,
        "created_at": iso(config.created_at),
        "last_updated_at": iso(config.last_updated_at),
        "object": "config",
    }


def config_json(config: Config) -> Json:
    """Return a config with the body of its active version."""
    version_id = str(config.active_id) if config.active_id else None
    return {
        **listed_config_json(config),
        "config": config.body,
        "format": "json",
        "type": "ORG_CONFIG",
        "version_id": version_id,
    }


def version_json(version: ConfigVersion) -> Json:
    """Return one version of a config."""
    return {
        **listed_config_json(version.config),
        "config": version.body,
        "format": "json",
        "type": "ORG_CONFIG",
        "version_id": str(version.pk),
        "version": version.number,
        "updated_by": version.created_by,
        "created_at": iso(version.created_at),
        "object": "config-version",
    }
