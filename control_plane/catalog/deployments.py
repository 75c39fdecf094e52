"""Which deployments does an Azure account have?  One form of the lists that clients write in two, and gateways' rows.

Source: `contract.md` 6.1, and its legacy fields of virtual keys.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.schema.rows import DeploymentRow

Json = dict[str, Any]

#: The setting that holds the list, and what older clients call the list and its fields.
DEPLOYMENTS: Final = "azure_deployment_config"
LEGACY_LIST: Final = "deploymentConfig"
_LEGACY: Final = {"deploymentName": "azure_deployment_name", "apiVersion": "azure_api_version"}
_FIELDS: Final = frozenset({"azure_deployment_name", "azure_api_version", "azure_model_slug", "alias", "is_default"})
_MOST: Final = 200
_VERSION: Final = re.compile(r"[A-Za-z0-9.-]{1,30}")
_MAX_CHARS: Final = 255


def _texts(entry: Mapping[str, Any], where: str) -> Json:
    """Return the entry's texts that say something; raise ValueError for one that is no text, or too long."""
    told = {}
    for name in sorted(_FIELDS - {"is_default"}):
        value = entry.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > _MAX_CHARS or "\x00" in value:
            raise ValueError(f"{where}.{name}: must be a text of at most {_MAX_CHARS} characters")
        told[name] = value
    return told


def _entry(given: Any, where: str) -> Json:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: must be an object")
    entry: Json = {_LEGACY.get(name) or name: value for name, value in given.items()}
    unknown = sorted(set(entry) - _FIELDS)
    if unknown:
        raise ValueError(f"{where}.{unknown[0][:64]}: is no field of a deployment")
    told = _texts(entry, where)
    for name in ("azure_deployment_name", "azure_api_version"):
        if name not in told:
            raise ValueError(f"{where}.{name}: is required")
    if not _VERSION.fullmatch(told["azure_api_version"]):
        raise ValueError(f"{where}.azure_api_version: is no version, such as 2024-10-21")
    default = entry.get("is_default")
    if default is not None and not isinstance(default, bool):
        raise ValueError(f"{where}.is_default: must be true or false")
    return {**told, "is_default": bool(default)}


def _names(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the models that mean a deployment: its alias, the model's name, and its own name; the first wins."""
    for name in ("alias", "azure_model_slug", "azure_deployment_name"):
        if entry.get(name):
            yield entry[name]


def checked_deployments(given: Any) -> list[Json]:
    """Return a list of deployments as it is stored: exactly one is the default, the first when none is said to be.

    Raises ValueError, with the place, for what is no such list.
    """
    if not isinstance(given, list) or not given or len(given) > _MOST:
        raise ValueError(f"must be a list of 1 to {_MOST} deployments")
    entries = [_entry(each, str(index)) for index, each in enumerate(given)]
    aliases = [entry["alias"] for entry in entries if entry.get("alias")]
    if len(set(aliases)) < len(aliases):
        raise ValueError("two deployments have the same alias")
    if sum(entry["is_default"] for entry in entries) > 1:
        raise ValueError("only one deployment can be the default")
    if not any(entry["is_default"] for entry in entries):
        entries[0]["is_default"] = True
    return entries


def deployment_rows(entries: list[Json]) -> tuple[DeploymentRow, ...]:
    """Return stored deployments as gateways get them; no model means two of them: an alias wins over other names."""
    aliases = {entry["alias"] for entry in entries if entry.get("alias")}
    taken: set[str] = set()
    rows = []
    for entry in entries:
        names = [name for name in _names(entry) if name == entry.get("alias") or name not in aliases]
        mine = tuple(dict.fromkeys(name for name in names if name not in taken))
        taken.update(mine)
        rows.append(
            DeploymentRow(entry["azure_deployment_name"], entry["azure_api_version"], mine, entry["is_default"])
        )
    return tuple(rows)
