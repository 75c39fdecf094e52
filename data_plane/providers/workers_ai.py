"""Cloudflare Workers AI: OpenAI's shape, below an account.

Source: https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility
"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import CredentialField, Provider

PROVIDER = Provider(
    id="workers-ai",
    label="Cloudflare Workers AI",
    base_url="https://api.cloudflare.com/client/v4/accounts/{workers_ai_account_id}/ai/v1",
    authorise=bearer,
    operations={"chat": chat("workers-ai"), "embed": listing("workers-ai", "/embeddings")},
    credential=(
        CredentialField("key", "API token", secret=True),
        CredentialField("workers_ai_account_id", "Account id"),
    ),
    price_source="cloudflare",
)
