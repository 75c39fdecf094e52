"""Cohere: its own chat, embeddings and ranks, version 2.  Source: https://docs.cohere.com/v2/reference/chat"""

from functools import partial

from data_plane.providers import _cohere_embed
from data_plane.providers._cohere_answer import decode_answer
from data_plane.providers._cohere_jobs import HOSTED
from data_plane.providers._cohere_request import encode_request
from data_plane.providers._cohere_rerank import rerank_texts
from data_plane.providers._cohere_stream import CohereDecoder
from data_plane.providers._models import models
from data_plane.providers._openai_like import bearer, read_fault, usage_of
from data_plane.providers.base import Operation, Provider

PROVIDER = Provider(
    id="cohere",
    label="Cohere",
    base_url="https://api.cohere.com",
    authorise=bearer,
    operations={
        "models": models("cohere", "/v1/models?page_size=1000", holds="models", names=("name",)),
        "chat": Operation(
            path="/v2/chat",
            encode=partial(encode_request, provider="cohere"),
            decode=partial(decode_answer, provider="cohere"),
            usage=usage_of,
            decoder=partial(CohereDecoder, provider="cohere"),
            fault=read_fault,
        ),
        "embed": Operation(
            path="/v2/embed",
            encode=partial(_cohere_embed.encode_request, provider="cohere"),
            decode=partial(_cohere_embed.decode_answer, provider="cohere"),
            usage=usage_of,
            decoder=partial(CohereDecoder, provider="cohere"),
            fault=read_fault,
        ),
        "rerank": rerank_texts("cohere", "/v2/rerank"),
    },
    caller_headers=("x-client-name",),
    bulk=HOSTED,
)
