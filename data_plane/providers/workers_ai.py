"""Cloudflare Workers AI: OpenAI's shape for texts and vectors, and runs of models for the rest; below an account.

Source: https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from data_plane.core.types import Json, Usage
from data_plane.providers import _workers_run as run
from data_plane.providers._listed_fault import read_listed_fault
from data_plane.providers._models import models
from data_plane.providers._openai_like import ChunkDecoder, bearer, chat, listing
from data_plane.providers._openai_media import image_usage, transcription
from data_plane.providers._rerank import rank_usage
from data_plane.providers._vectors import decode_rows, vector_usage
from data_plane.providers.base import CredentialField, Operation, Provider

_ID: Final = "workers-ai"
#: Where OpenAI's words are spoken, and runs are not.
_VERSION: Final = "/v1"


def _run(encode: Callable[..., Json], decode: Callable[..., Json], usage: Callable[[Json], Usage]) -> Operation:
    return Operation(
        path=run.run_path,
        encode=partial(encode, provider=_ID),
        decode=partial(decode, provider=_ID),
        usage=usage,
        decoder=lambda _facts: ChunkDecoder(_ID, hides_usage=False),
        fault=read_listed_fault,
        write=run.write_run,
        beside=_VERSION,
    )


def _sound(task: str) -> Operation:
    return _run(partial(run.encode_sound, task=task), partial(run.decode_sound, task=task), transcription(_ID).usage)


PROVIDER = Provider(
    id=_ID,
    label="Cloudflare Workers AI",
    base_url="https://api.cloudflare.com/client/v4/accounts/{workers_ai_account_id}/ai/v1",
    authorise=bearer,
    operations={
        "chat": replace(chat(_ID), fault=read_listed_fault),
        "embed": replace(
            listing(_ID, "/embeddings"),
            decode=partial(decode_rows, provider=_ID),
            usage=vector_usage,
            fault=read_listed_fault,
        ),
        "image": replace(
            _run(run.encode_image, run.decode_image, image_usage),
            decode_binary=partial(run.decode_image_bytes, provider=_ID),
        ),
        "transcribe": _sound("transcribe"),
        "translate": _sound("translate"),
        "rerank": _run(run.encode_ranks, run.decode_run_ranks, rank_usage),
        "models": replace(models(_ID, "/models/search", holds="result", names=("name",)), beside=_VERSION),
    },
    credential=(
        CredentialField("key", "API token", secret=True),
        CredentialField("workers_ai_account_id", "Account id"),
    ),
    price_source="cloudflare",
)
