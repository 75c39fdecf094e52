"""Qdrant: a vector database of one's own or in Qdrant's cloud, reached by forwarded calls.

Source: https://qdrant.tech/documentation/guides/security/
"""

from data_plane.providers._openai_like import key_in
from data_plane.providers.base import CredentialField, Provider

PROVIDER = Provider(
    id="qdrant",
    label="Qdrant",
    base_url="",
    authorise=key_in("api-key"),
    operations={},
    credential=(CredentialField("key", "API key", secret=True, required=False),),
    lists_models=False,
)
