"""OpenAI itself.  Source: https://platform.openai.com/docs/api-reference"""

from data_plane.core.types import CallFacts
from data_plane.providers._openai_like import bearer, chat, complete, listing, speech
from data_plane.providers._openai_media import forms, image, moderation
from data_plane.providers._openai_realtime import realtime
from data_plane.providers._openai_responses import native_responses
from data_plane.providers.base import CredentialField, Provider

_SETTINGS = {"openai_organization": "openai-organization", "openai_project": "openai-project"}


def _headers(facts: CallFacts) -> dict[str, str]:
    return {header: str(facts.settings[name]) for name, header in _SETTINGS.items() if facts.settings.get(name)}


PROVIDER = Provider(
    id="openai",
    label="OpenAI",
    base_url="https://api.openai.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("openai"),
        "complete": complete("openai"),
        "responses": native_responses("openai"),
        "embed": listing("openai", "/embeddings"),
        "image": image("openai"),
        "speech": speech("openai"),
        "moderate": moderation("openai"),
        "realtime": realtime("openai"),
        **forms("openai", "transcribe", "translate", "edit_image", "vary_image"),
    },
    caller_headers=("openai-organization", "openai-project", "openai-beta"),
    credential=(
        CredentialField("key", "API key", secret=True),
        CredentialField("openai_organization", "Organisation id", required=False),
        CredentialField("openai_project", "Project id", required=False),
    ),
    headers=_headers,
    only_at_home=frozenset({"responses"}),
)
