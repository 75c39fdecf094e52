"""What Azure's model services share: keys, Entra tokens and identities, deployments and API versions.

A deployment is named by the setting, by the list of deployments (the caller's model is then an alias), or by the model
itself.  Source: https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from data_plane.core.identity import AzureIdentity, AzureWay, IdentityAsk
from data_plane.core.types import CallFacts, Json, TokenAsk, UpstreamRequest
from data_plane.providers._oauth import client_credentials, token_name
from data_plane.providers._openai_like import bearer
from data_plane.providers.base import CredentialField, Operation
from shared.addresses import AddressIncomplete, fill_address
from shared.errors import BadRequest
from shared.redact import Secret

LOGIN: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_TOKEN_URL: Final = LOGIN + "/{azure_entra_tenant_id}/oauth2/v2.0/token"
_BY_TOKEN: Final = frozenset({"entra", *AzureWay})
#: API versions that mean the surface without deployments in its paths.
_UNVERSIONED: Final = frozenset({"", "v1", "preview", "latest"})

ENTRA_FIELDS: Final = (
    CredentialField(
        "azure_auth_mode", "Sign-in: default (key), entra, managed, workload or entraFederated", required=False
    ),
    CredentialField("azure_entra_tenant_id", "Entra tenant", required=False),
    CredentialField("azure_entra_client_id", "Entra client", required=False),
    CredentialField("azure_entra_client_secret", "Entra client secret", secret=True, required=False),
    CredentialField("azure_managed_client_id", "Managed identity's client (empty: the machine's own)", required=False),
    CredentialField(
        "azure_workload_client_id", "Workload identity's client (empty: the gateway's own)", required=False
    ),
)
#: What a saved account says itself, when it calls by the gateway's own identity.
_BOUND: Final = (
    "azure_auth_mode", "azure_managed_client_id", "azure_workload_client_id", "azure_entra_tenant_id",
    "azure_entra_client_id", "azure_entra_scope", "azure_resource_name", "azure_foundry_url",
)  # fmt: skip
#: Services that Microsoft runs; other names below `azure.com` may be those of a customer's own machines.
_HOSTS: Final = re.compile(
    r"(?:[a-z0-9-]+\.)+(?:openai|cognitiveservices|services\.ai|models\.ai)\.azure\.(?:com|us|cn)"
)
_SCOPE: Final = re.compile(r"[\x21-\x7e]{1,500}")


def _text(settings: Mapping[str, Any], *names: str) -> str:
    return next((str(settings[name]) for name in names if settings.get(name)), "")


def _listed(facts: CallFacts) -> Mapping[str, Any]:
    """Return the entry of the account's list that the caller's model names, else the default one."""
    listed = facts.settings.get("deployments")
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list | tuple) else []
    named = (entry for entry in entries if entry.get("alias") == facts.model)
    return next(named, next((entry for entry in entries if entry.get("is_default")), {}))


def deployment(facts: CallFacts) -> str:
    """Return the deployment that a call goes to."""
    return str(_listed(facts).get("deployment_id") or "") or _text(facts.settings, "azure_deployment_id") or facts.model


def api_version(facts: CallFacts) -> str:
    """Return the API version of a call, "" for the surface that has none."""
    return str(_listed(facts).get("api_version") or "") or _text(facts.settings, "azure_api_version")


def at_deployment(operation: Operation) -> Operation:
    """Return an operation of OpenAI's as Azure has it: below a deployment with a version, or below `/v1`."""
    path = operation.path_for

    def place(facts: CallFacts) -> str:
        version = api_version(facts)
        if version.lower() in _UNVERSIONED:
            query = f"?api-version={quote(version)}" if version.lower() in {"preview", "latest"} else ""
            return f"/v1{path(facts)}{query}"
        return f"/deployments/{quote(deployment(facts), safe='')}{path(facts)}?api-version={quote(version)}"

    def encode(body: Json, facts: CallFacts) -> Json:
        return operation.encode(body, replace(facts, model=deployment(facts)))

    return replace(operation, path=place, encode=encode)


def at_root(operation: Operation) -> Operation:
    """Return an operation that Azure has below no deployment, whatever the version."""
    path = operation.path_for

    def place(facts: CallFacts) -> str:
        version = api_version(facts)
        return f"/v1{path(facts)}" if version.lower() in {"", "v1"} else f"{path(facts)}?api-version={quote(version)}"

    def encode(body: Json, facts: CallFacts) -> Json:
        return operation.encode(body, replace(facts, model=deployment(facts)))

    return replace(operation, path=place, encode=encode)


def forwarded(base_url: str, url: str, facts: CallFacts) -> str:
    """Return where Azure has a path of OpenAI's that the gateway sends on: below `/v1`, or with a version.

    A caller who writes a deployment or a version into the path knows where it is.
    """
    path, _, query = url.removeprefix(base_url).partition("?")
    if path.startswith(("/v1/", "/deployments/")) or "api-version=" in query:
        return url
    version = api_version(facts)
    if version.lower() in {"", "v1"}:
        return f"{base_url}/v1{path}" + (f"?{query}" if query else "")
    if version.lower() in _UNVERSIONED:
        path = f"/v1{path}"
    return f"{base_url}{path}?" + (f"{query}&" if query else "") + f"api-version={quote(version)}"


def authorise(secret: Secret, headers: dict[str, str]) -> None:
    """Write an API key."""
    headers["api-key"] = secret.reveal()


def sign(request: UpstreamRequest, secret: Secret | None, facts: CallFacts) -> None:
    """Write the key, or the token that stands in its place."""
    given = facts.settings.get("azure_ad_token")
    if isinstance(given, Secret):
        bearer(given, request.headers)
    elif secret is not None and _text(facts.settings, "azure_auth_mode") in _BY_TOKEN:
        bearer(secret, request.headers)
    elif secret is not None:
        authorise(secret, request.headers)


def token(_key: Secret | None, facts: CallFacts) -> TokenAsk | IdentityAsk | None:
    """Return how an account gets its token; None for one with a key.  Raises BadRequest for one that is not whole."""
    settings = facts.settings
    mode = _text(settings, "azure_auth_mode")
    if mode in {"", "default"}:
        return None
    if mode in set(AzureWay):
        return _identity(AzureWay(mode), settings)
    if mode != "entra":
        raise BadRequest("azure_auth_mode is none that there is.", path="azure_auth_mode")
    client, secret = _text(settings, "azure_entra_client_id"), settings.get("azure_entra_client_secret")
    if not client or not isinstance(secret, Secret):
        raise BadRequest("azure_entra_client_id and azure_entra_client_secret are required.", path="azure_auth_mode")
    url = _TOKEN_URL.format(azure_entra_tenant_id=_needed(settings, "azure_entra_tenant_id"))
    return client_credentials(url, client, secret, _text(settings, "azure_entra_scope") or SCOPE)


def _identity(way: AzureWay, settings: Mapping[str, Any]) -> IdentityAsk:
    scope = _text(settings, "azure_entra_scope") or SCOPE
    client = _text(settings, f"azure_{'workload' if way is AzureWay.WORKLOAD else 'managed'}_client_id")
    tenant, application = "", ""
    if way is AzureWay.FEDERATED:
        tenant, application = (_needed(settings, name) for name in ("azure_entra_tenant_id", "azure_entra_client_id"))
    if not _SCOPE.fullmatch(scope):
        raise BadRequest("azure_entra_scope is no scope.", path="azure_entra_scope")
    wanted = AzureIdentity(way, scope, client, tenant, application)
    name = token_name("azure", way, scope, client, tenant, application)
    return IdentityAsk(name, wanted, "azure_auth_mode", _BOUND, is_own=True, hosts=_HOSTS)


def _needed(settings: Mapping[str, Any], name: str) -> str:
    """Return a setting that can stand in a path; raises BadRequest."""
    try:
        return fill_address(f"{{{name}}}", settings)
    except AddressIncomplete as fault:
        raise BadRequest(f"{fault}.", path=name) from None
