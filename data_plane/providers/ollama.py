"""Ollama: OpenAI's shape on a machine of one's own.  Source: https://docs.ollama.com/api/openai-compatibility"""

from dataclasses import replace
from functools import partial
from typing import Final

from data_plane.providers._models import models
from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers._vectors import decode_rows, vector_usage
from data_plane.providers.base import CredentialField, Operation, Provider

_ID: Final = "ollama"
#: The machine's address may be given with this end or without it, as Ollama's own clients have it.
_VERSION: Final = "/v1"


def _versioned(operation: Operation) -> Operation:
    return replace(operation, path=f"{_VERSION}{operation.path}", beside=_VERSION)


PROVIDER = Provider(
    id=_ID,
    label="Ollama",
    base_url="",
    authorise=bearer,
    operations={
        "chat": _versioned(chat(_ID)),
        "complete": _versioned(complete(_ID)),
        # Not every version packs vectors.
        "embed": _versioned(
            replace(listing(_ID, "/embeddings"), decode=partial(decode_rows, provider=_ID), usage=vector_usage)
        ),
        "models": _versioned(models(_ID)),
    },
    credential=(CredentialField("key", "API key", secret=True, required=False),),
)
