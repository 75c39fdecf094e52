"""Milvus: a vector database of one's own, reached by forwarded calls.

The credential is a token, or a name and a password with a colon between them (`root:Milvus`).
Source: https://milvus.io/api-reference/restful/v2.5.x/About.md
"""

from data_plane.providers._openai_like import bearer
from data_plane.providers.base import CredentialField, Provider

PROVIDER = Provider(
    id="milvus",
    label="Milvus",
    base_url="",
    authorise=bearer,
    operations={},
    credential=(CredentialField("key", "Token, or name:password", secret=True, required=False),),
    lists_models=False,
)
