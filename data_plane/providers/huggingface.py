"""Hugging Face: its router, or an inference endpoint.  Source: https://huggingface.co/docs/inference-providers"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers.base import CredentialField, Provider

PROVIDER = Provider(
    id="huggingface",
    label="Hugging Face",
    base_url="https://router.huggingface.co/v1",
    address_setting="huggingface_base_url",
    authorise=bearer,
    operations={"chat": chat("huggingface"), "complete": complete("huggingface")},
    credential=(
        CredentialField("key", "Access token", secret=True),
        CredentialField("huggingface_base_url", "Address of an endpoint of one's own", required=False),
    ),
)
