"""Gemini, Claude and open models as Google sells them in its cloud.  Source: https://docs.cloud.google.com/vertex-ai"""

import re
from dataclasses import replace
from functools import partial
from typing import Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._claude_clouds import ON_VERTEX
from data_plane.providers._gemini_answer import read_google_fault
from data_plane.providers._gemini_embeddings import decode_embeddings, encode_content, encode_instances
from data_plane.providers._gemini_stream import CandidateDecoder
from data_plane.providers._google_auth import ACCOUNT, AUTH_TYPE, TOKEN_URL, google_token
from data_plane.providers._openai_like import bearer, usage_of
from data_plane.providers._pictures import imagen
from data_plane.providers._vertex_bulk import BULK
from data_plane.providers._vertex_chat import gemini_count, vertex_chat
from data_plane.providers._vertex_models import Tongue, find_model
from data_plane.providers._vertex_rank import vertex_rank
from data_plane.providers._vertex_services import BASE, RANKING, STORAGE
from data_plane.providers.base import CredentialField, Operation, Provider
from shared.errors import Unsupported

_ID: Final = "vertex-ai"
#: Embedding models that take one content; the first ones take instances.
_BY_CONTENT: Final = re.compile(r"gemini-embedding-(?!001|exp)")


def _image_path(facts: CallFacts) -> str:
    model = find_model(facts.model)
    if not model.name.startswith("image"):
        raise Unsupported(f"image is not supported by {_ID} for this model", path="model")
    return model.path + ":predict"


def _embed_path(facts: CallFacts) -> str:
    model = find_model(facts.model)
    if model.tongue is not Tongue.GEMINI:
        raise Unsupported(f"embed is not supported by {_ID} for this model", path="model")
    return model.path + (":embedContent" if _BY_CONTENT.match(model.name) else ":predict")


def _encode_embed(body: Json, facts: CallFacts) -> Json:
    encode = encode_content if _BY_CONTENT.match(find_model(facts.model).name) else encode_instances
    return encode(body, facts, provider=_ID)


def _decode_embed(answer: Json, facts: CallFacts) -> Json:
    return decode_embeddings(answer, replace(facts, model=find_model(facts.model).name), provider=_ID)


def _count_tokens(model: str) -> Operation | None:
    return ON_VERTEX["count_tokens"](model) or gemini_count(model)


PROVIDER = Provider(
    id=_ID,
    label="Google Vertex AI",
    base_url=BASE,
    authorise=bearer,
    operations={
        "chat": vertex_chat(),
        "rerank": vertex_rank(),
        "image": imagen(_ID, _image_path, read_google_fault),
        "embed": Operation(
            path=_embed_path,
            encode=_encode_embed,
            decode=_decode_embed,
            usage=usage_of,
            decoder=partial(CandidateDecoder, provider=_ID),
            fault=read_google_fault,
        ),
    },
    # Claude's betas, and what a project has paid for in advance.
    caller_headers=("anthropic-beta", "x-vertex-ai-llm-request-type", "x-vertex-ai-llm-shared-request-type"),
    credential=(
        CredentialField("vertex_project_id", "Project id"),
        CredentialField("vertex_region", "Region, or global"),
        CredentialField(AUTH_TYPE, "Sign-in: empty, or workload (the gateway's own account)", required=False),
        CredentialField(ACCOUNT, "Service, user or external account (JSON)", secret=True, required=False),
        CredentialField("key", "Access token, in place of a service account", secret=True, required=False),
    ),
    price_source="google",
    lists_models=False,
    chosen={**ON_VERTEX, "count_tokens": _count_tokens},
    token=google_token,
    hosts=(TOKEN_URL.removesuffix("/token"), STORAGE, RANKING),
    bulk=BULK,
)
