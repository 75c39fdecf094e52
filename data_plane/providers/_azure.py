"""What Azure's model services share: keys, Entra tokens, deployments and API versions.

A deployment is named by the setting, by the list of deployments (the caller's model is then an alias), or by the model
itself.  Source: https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from data_plane.core.types import CallFacts, Json, TokenAsk, UpstreamRequest
from data_plane.providers._oauth import client_credentials
from data_plane.providers._openai_like import bearer
from data_plane.providers.base import CredentialField, Operation
from shared.addresses import AddressIncomplete, fill_address
from shared.errors import BadRequest
from shared.redact import Secret

LOGIN: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_TOKEN_URL: Final = LOGIN + "/{azure_entra_tenant_id}/oauth2/v2.0/token"
_BY_TOKEN: Final = frozenset({"entra", "managed", "workload", "entraFederated"})
#: API versions that mean the surface without deployments in its paths.
_UNVERSIONED: Final = frozenset({"", "v1", "preview", "latest"})

ENTRA_FIELDS: Final = (
    CredentialField("azure_auth_mode", "Sign-in: default (key) or entra", required=False),
    CredentialField("azure_entra_tenant_id", "Entra tenant", required=False),
    CredentialField("azure_entra_client_id", "Entra client", required=False),
    CredentialField("azure_entra_client_secret", "Entra client secret", secret=True, required=False),
)


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


def token(_key: Secret | None, facts: CallFacts) -> TokenAsk | None:
    """Return how an Entra application gets its token; None for an account with a key."""
    settings = facts.settings
    mode = _text(settings, "azure_auth_mode")
    if mode in {"", "default"}:
        return None
    if mode != "entra":
        raise BadRequest(f"azure_auth_mode {mode} is not available in this version.", path="azure_auth_mode")
    client, secret = _text(settings, "azure_entra_client_id"), settings.get("azure_entra_client_secret")
    if not client or not isinstance(secret, Secret):
        raise BadRequest("azure_entra_client_id and azure_entra_client_secret are required.", path="azure_auth_mode")
    try:
        url = fill_address(_TOKEN_URL, settings)
    except AddressIncomplete as fault:
        raise BadRequest(f"{fault}.", path=fault.setting) from None
    return client_credentials(url, client, secret, _text(settings, "azure_entra_scope") or SCOPE)
