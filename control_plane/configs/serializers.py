"""Configs as the Admin API reads and writes them.

What is saved is checked by the code that gateways run, so what is saved can be served.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from rest_framework import serializers
from rest_framework.exceptions import ParseError

from control_plane.configs.models import Config, ConfigVersion
from control_plane.core.audit import names_secret
from control_plane.core.errors import Invalid
from control_plane.core.fields import iso
from control_plane.core.parsers import StrictJsonParser
from control_plane.core.serializers import TenantSerializer
from shared.errors import InvalidConfig
from shared.schema.config import Config as ParsedConfig
from shared.schema.config import parse_config
from shared.schema.target_settings import SETTING_HEADERS, TARGET_SETTINGS

Json = dict[str, Any]

_SECRET_SETTINGS: Final = frozenset(name for name, is_secret in SETTING_HEADERS.values() if is_secret)


def _levels(config: ParsedConfig, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ParsedConfig]]:
    yield path, config
    for index, target in enumerate(config.targets):
        yield from _levels(target, (*path, "targets", str(index)))


def _is_credential(name: str) -> bool:
    # Of settings it is known which are secret: `aws_s3_object_key` only sounds so.
    return name in _SECRET_SETTINGS if name in TARGET_SETTINGS else names_secret(name)


def _credentials(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the paths of credentials; what is inside parameters for the model is not ours to judge."""
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        if item is not None and _is_credential(name):
            yield ",".join((*path, name))
    targets = value.get("targets")
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        yield from _credentials(target, (*path, "targets", str(index)))


def check_body(body: object) -> Json:
    """Return a config's body when gateways can serve it.

    Raises InvalidConfig with every fault of the language, hosts that may not be used among them; Invalid for a
    credential: a saved config is kept and sent in plain text, so it names a virtual key instead.
    """
    parse_config(body, trusted_hosts=settings.TRUSTED_CUSTOM_HOSTS)
    faults = [
        f"path: {path}, message: a saved config may not hold a credential; use a virtual key"
        for path in _credentials(body)
    ]
    if faults or not isinstance(body, dict):
        raise Invalid("Invalid config passed. " + " ".join(faults), errors=faults)
    return body


def warnings_of(body: object) -> list[str]:
    """Return what of a saved body gateways of this version refuse to serve, each with its path."""
    try:
        parsed = parse_config(body)
    except InvalidConfig:
        # Saved under other rules; what it lacks is said when it is changed or used.
        return []
    return [
        f"path: {','.join((*path, key))}, message: {key} is not available in this version of the gateway: "
        "requests that use it are refused"
        for path, level in _levels(parsed)
        for key in level.unbuilt()
    ]


class BodyField(serializers.JSONField):
    """A config's body: an object, or the text of one."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the decoded body; it is checked by the service that saves it.

        Text is read as strictly as a request is: what the database or a bundle cannot hold must not be saved.
        """
        if not isinstance(data, str):
            return data
        try:
            return StrictJsonParser().parse(BytesIO(data.encode("utf-8", "replace")))
        except ParseError as fault:
            raise serializers.ValidationError(str(fault.detail)) from None


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
