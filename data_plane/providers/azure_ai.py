"""Azure AI Foundry: many vendors' models behind OpenAI's bodies.  Source: https://learn.microsoft.com/rest/api/aifoundry"""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers._azure import ENTRA_FIELDS, LOGIN, api_version, authorise, sign, token
from data_plane.providers._claude_clouds import ON_AZURE, is_foundry_claude
from data_plane.providers._cohere_rerank import rerank_texts
from data_plane.providers._openai_like import chat, complete, listing, speech
from data_plane.providers._openai_media import image, image_form, transcription
from data_plane.providers._openai_realtime import realtime
from data_plane.providers.base import CredentialField, Operation, Provider
from shared.redact import Secret

DEFAULT_VERSION: Final = "2024-05-01-preview"
_OWN_HOST: Final = ".models.ai.azure.com"


def _versioned(operation: Operation) -> Operation:
    path = operation.path_for

    def place(facts: CallFacts) -> str:
        return f"{path(facts)}?api-version={quote(api_version(facts) or DEFAULT_VERSION)}"

    return replace(operation, path=place)


def _at_openai(operation: Operation) -> Operation:
    """Return an operation that a resource has at OpenAI's own paths, beside those of all models."""
    return replace(operation, beside="/models")


def _headers(facts: CallFacts) -> dict[str, str]:
    version = facts.headers.get("anthropic-version") or "2023-06-01"
    return {"anthropic-version": version} if is_foundry_claude(facts.model) else {}


def _sign(request: UpstreamRequest, secret: Secret | None, facts: CallFacts) -> None:
    """Write the key or the token; Claude takes a key as Anthropic does."""
    sign(request, secret, facts)
    if "api-key" in request.headers and is_foundry_claude(facts.model):
        request.headers["x-api-key"] = request.headers.pop("api-key")


def _rerank_path(facts: CallFacts) -> str:
    """Return where Cohere's models rank: beside the others, or at a deployment that is a host of its own."""
    host = str(facts.settings.get("azure_foundry_url") or "").partition("://")[2].partition("/")[0]
    return "/v2/rerank" if host.endswith(_OWN_HOST) else "/providers/cohere/v2/rerank"


PROVIDER = Provider(
    id="azure-ai",
    label="Azure AI Foundry",
    base_url="",
    address_setting="azure_foundry_url",
    authorise=authorise,
    operations={
        "chat": _versioned(chat("azure-ai")),
        "complete": _versioned(complete("azure-ai")),
        "embed": _versioned(listing("azure-ai", "/embeddings")),
        "image": _at_openai(image("azure-ai", "/openai/v1/images/generations")),
        "speech": _at_openai(replace(speech("azure-ai"), path="/openai/v1/audio/speech")),
        "transcribe": _at_openai(transcription("azure-ai", "/openai/v1/audio/transcriptions")),
        "translate": _at_openai(transcription("azure-ai", "/openai/v1/audio/translations")),
        "edit_image": _at_openai(image_form("azure-ai", "/openai/v1/images/edits")),
        "realtime": _at_openai(replace(realtime("azure-ai"), path="/openai/v1/realtime")),
        "rerank": replace(rerank_texts("azure-ai", ""), path=_rerank_path, beside="/models"),
    },
    credential=(
        CredentialField("key", "API key", secret=True, required=False),
        CredentialField("azure_foundry_url", "Address, such as https://name.services.ai.azure.com/models"),
        CredentialField("azure_api_version", "API version", required=False),
        *ENTRA_FIELDS,
    ),
    price_source="azure",
    token=token,
    hosts=(LOGIN,),
    sign=_sign,
    headers=_headers,
    caller_headers=("anthropic-beta",),
    chosen=ON_AZURE,
)
