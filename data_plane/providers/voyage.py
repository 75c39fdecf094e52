"""Voyage AI: embeddings and ranks.  Source: https://docs.voyageai.com/reference"""

from data_plane.providers._cohere_rerank import rerank_texts
from data_plane.providers._openai_like import bearer
from data_plane.providers._vectors import embedding
from data_plane.providers._voyage_embed import decode_answer, embed_path, encode_request
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="voyage",
    label="Voyage AI",
    base_url="https://api.voyageai.com/v1",
    authorise=bearer,
    operations={
        "embed": embedding("voyage", embed_path, encode_request, decode_answer),
        "rerank": rerank_texts("voyage", "/rerank", limit="top_k"),
    },
    price_source="voyageai",
    lists_models=False,
)
