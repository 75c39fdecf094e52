"""How does one sign in to a secret manager?  The fields of each way, which of them are secret, and where they are sent.

Source: `contract.md` 6.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from control_plane.core.errors import Invalid
from shared.hosts import check_custom_host, host_of

AWS: Final = "aws_sm"
AZURE: Final = "azure_kv"
HASHICORP: Final = "hashicorp_vault"
KINDS: Final = (AWS, AZURE, HASHICORP)

#: What stands in the place of a secret that is shown; a change that sends it back means the secret that is there.
MASK: Final = "****"
MAX_CHARS: Final = 8192
_ADDRESSES: Final = frozenset({"azure_vault_url", "vault_addr"})
_REGION_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to sign in: the fields that it needs, those that it may have, and which of all are secret."""

    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    secret: frozenset[str] = frozenset()

    @property
    def fields(self) -> frozenset[str]:
        """Every field but the one that names the way."""
        return frozenset({*self.needed, *self.optional})


def _way(needed: str, optional: str = "", hidden: str = "") -> Way:
    return Way(tuple(needed.split()), tuple(optional.split()), frozenset(hidden.split()))


#: For each kind of manager the field that names the way, and the ways by its values.
WAYS: Final[Mapping[str, tuple[str, Mapping[str, Way]]]] = {
    AWS: (
        "aws_auth_type",
        {
            "accessKey": _way(
                "aws_access_key_id aws_secret_access_key aws_region", hidden="aws_secret_access_key"
            ),
            "assumedRole": _way("aws_role_arn aws_region", "aws_external_id"),
            "serviceRole": _way("", "aws_region"),
        },
    ),
    AZURE: (
        "azure_auth_mode",
        {
            "entra": _way(
                "azure_entra_tenant_id azure_entra_client_id azure_entra_client_secret azure_vault_url",
                hidden="azure_entra_client_secret",
            ),
            "managed": _way("azure_vault_url", "azure_managed_client_id"),
            "default": _way("azure_vault_url"),
        },
    ),
    HASHICORP: (
        "vault_auth_type",
        {
            "token": _way("vault_addr vault_token", "vault_namespace", "vault_token"),
            "approle": _way("vault_addr vault_role_id vault_secret_id", "vault_namespace", "vault_secret_id"),
            "kubernetes": _way("vault_addr vault_role", "vault_namespace"),
        },
    ),
}  # fmt: skip


def way_of(kind: str, config: Mapping[str, Any]) -> tuple[str, Way]:
    """Return the field that names the way, and the way that `config` names.  Raises Invalid when it names none."""
    field, ways = WAYS[kind]
    named = config.get(field)
    if not isinstance(named, str) or named not in ways:
        raise Invalid(f"auth_config.{field}: must be one of: {', '.join(ways)}")
    return field, ways[named]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CHARS:
        raise Invalid(f"auth_config.{name}: must be a text of at most {MAX_CHARS} characters")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value.strip()):
        raise Invalid(f"auth_config.{name}: holds a control character")
    text = value.strip()
    if name in _ADDRESSES:
        try:
            return check_custom_host(text, settings.TRUSTED_CUSTOM_HOSTS)
        except ValueError as fault:
            raise Invalid(f"auth_config.{name}: {fault}") from None
    if name == "aws_region" and not set(text) <= _REGION_CHARS:
        raise Invalid("auth_config.aws_region: is no region, such as eu-west-1")
    return text


def checked_config(kind: str, config: Mapping[str, Any]) -> dict[str, str]:
    """Return a sign-in as it was meant, all fields as text; secrets that are kept are masked in it.

    Raises Invalid for a field that its way lacks or does not know; what is null or empty counts as not said.
    """
    field, way = way_of(kind, config)
    said = {name: value for name, value in config.items() if value is not None and value != ""}
    unknown = sorted(set(said) - way.fields - {field})
    if unknown:
        raise Invalid(f"auth_config.{unknown[0][:64]}: is no field of {field} {config[field]}")
    missing = [name for name in way.needed if name not in said]
    if missing:
        raise Invalid(f"auth_config.{missing[0]}: is required for {field} {config[field]}")
    return {field: config[field], **{name: _text(name, said[name]) for name in sorted(way.fields & set(said))}}


def merged_config(kind: str, before: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sign-in after a change: what is not named stays, as far as the way that is named then knows it.

    A secret that comes back as it is shown is one that is not named.
    """
    field, _ = WAYS[kind]
    _, way = way_of(kind, {field: given.get(field, before.get(field))})
    kept = {name: value for name, value in before.items() if name in way.fields or name == field}
    return {**kept, **{name: value for name, value in given.items() if not (value == MASK and name in way.secret)}}


def hosts_of(kind: str, config: Mapping[str, str]) -> tuple[str, ...]:
    """Return the only hosts that the secrets of a sign-in may be sent to."""
    if kind == AWS:
        region = config.get("aws_region")
        dots = "amazonaws.com.cn" if region and region.startswith("cn-") else "amazonaws.com"
        return (f"secretsmanager.{region}.{dots}", f"sts.{region}.{dots}") if region else ()
    if kind == AZURE:
        return (host_of(config["azure_vault_url"]), "login.microsoftonline.com")
    return (host_of(config["vault_addr"]),)


def shown_config(kind: str, plain: Mapping[str, str]) -> dict[str, str]:
    """Return a sign-in as the API shows it: its secrets, which `plain` lacks, masked."""
    _, way = way_of(kind, plain)
    return {**plain, **dict.fromkeys(sorted(way.secret), MASK)}
