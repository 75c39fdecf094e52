"""Hugging Face: its router, or an inference endpoint.  Source: https://huggingface.co/docs/inference-providers"""

from dataclasses import replace
from functools import partial
from typing import Final

from data_plane.core.types import Json
from data_plane.providers._hub_embed import ADDRESS, decode_vectors, embed_path, encode_request
from data_plane.providers._models import models
from data_plane.providers._openai_like import bearer, chat, complete, mapping, read_fault
from data_plane.providers._vectors import embedding
from data_plane.providers.base import CredentialField, Operation, Provider, ProviderFault

_ID: Final = "huggingface"
#: An endpoint's address may be given with this end or without it, as its pages and its clients do.
_VERSION: Final = "/v1"


def _fault(status: int, body: Json | None) -> ProviderFault:
    """Return the error of the router or of an endpoint; one that is still loading says for how long."""
    told, fault = mapping(body), read_fault(status, body)
    kind, wait_s = told.get("error_type"), told.get("estimated_time")
    message = fault.message
    if isinstance(wait_s, int | float) and not isinstance(wait_s, bool) and 0 < wait_s < 10**6:
        message += f" (estimated time: {wait_s:.0f} s)"
    return replace(fault, message=message, type=fault.type or (kind if isinstance(kind, str) else None))


def _versioned(operation: Operation) -> Operation:
    return replace(operation, path=f"{_VERSION}{operation.path}", beside=_VERSION, fault=_fault)


PROVIDER = Provider(
    id=_ID,
    label="Hugging Face",
    base_url="https://router.huggingface.co/v1",
    address_setting=ADDRESS,
    authorise=bearer,
    operations={
        "chat": _versioned(chat(_ID)),
        "complete": _versioned(complete(_ID)),
        "embed": replace(
            embedding(_ID, embed_path, encode_request),
            decode_binary=partial(decode_vectors, provider=_ID),
            fault=_fault,
            beside=_VERSION,
        ),
        "models": _versioned(models(_ID)),
    },
    caller_headers=("x-wait-for-model", "x-use-cache", "x-hf-bill-to"),
    credential=(
        CredentialField("key", "Access token", secret=True),
        CredentialField(ADDRESS, "Address of an endpoint of one's own", required=False),
    ),
)
