"""Fireworks AI: OpenAI's shape.  Source: https://docs.fireworks.ai/api-reference/post-chatcompletions"""

from data_plane.providers._fireworks_jobs import HOSTED
from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers._pictures import fireworks_image
from data_plane.providers._rerank import rerank
from data_plane.providers.base import CredentialField, Provider

PROVIDER = Provider(
    id="fireworks-ai",
    label="Fireworks AI",
    base_url="https://api.fireworks.ai/inference/v1",
    authorise=bearer,
    operations={
        "chat": chat("fireworks-ai"),
        "complete": complete("fireworks-ai"),
        "embed": listing("fireworks-ai", "/embeddings"),
        "rerank": rerank("fireworks-ai"),
        "image": fireworks_image("fireworks-ai"),
    },
    price_source="fireworks",
    credential=(
        CredentialField("key", "API key", secret=True),
        CredentialField("fireworks_account_id", "Account id, for files and fine-tuning", required=False),
    ),
    bulk=HOSTED,
)
