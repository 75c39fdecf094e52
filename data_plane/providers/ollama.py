"""Ollama: OpenAI's shape on a machine of one's own.  Source: https://docs.ollama.com/api/openai-compatibility"""

from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers.base import CredentialField, Provider

PROVIDER = Provider(
    id="ollama",
    label="Ollama",
    base_url="",
    authorise=bearer,
    operations={
        "chat": chat("ollama"),
        "complete": complete("ollama"),
        "embed": listing("ollama", "/embeddings"),
    },
    credential=(CredentialField("key", "API key", secret=True, required=False),),
)
