"""Triton: NVIDIA's inference server on a machine of one's own.

Completions go to its generate endpoints, at an address that may name the model itself (`…/v2/models/my-model`); chats
to its OpenAI-compatible frontend, which listens at a port of its own, with or without `/v1` at its end.
Source: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_generate.html
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from data_plane.core.types import NO_USAGE, CallFacts
from data_plane.providers._generate import GenerateDecoder, decode_text, encode_prompt, model_step
from data_plane.providers._openai_like import bearer, chat, listing, read_fault
from data_plane.providers.base import CredentialField, Operation, Provider

_ID: Final = "triton"
_NAMED: Final = re.compile(r"/v2/models/[^/]+(?:/versions/[^/]+)?/?$")


@dataclass(frozen=True, slots=True)
class _Generation(Operation):
    """An operation below an address that may name the model already."""

    def url_for(self, base_url: str, facts: CallFacts) -> str:
        """Return the address of one call."""
        action = "generate_stream" if facts.stream else "generate"
        if _NAMED.search(base_url):
            return f"{base_url.rstrip('/')}/{action}"
        return f"{base_url.removesuffix('/v2')}{self.path_for(facts)}"


def _path(facts: CallFacts) -> str:
    return f"/v2/models/{model_step(facts)}/{'generate_stream' if facts.stream else 'generate'}"


PROVIDER = Provider(
    id=_ID,
    label="Triton",
    base_url="",
    authorise=bearer,
    operations={
        "chat": replace(chat(_ID, path="/v1/chat/completions"), beside="/v1"),
        "complete": _Generation(
            path=_path,
            encode=encode_prompt,
            decode=decode_text,
            usage=lambda _answer: NO_USAGE,
            decoder=GenerateDecoder,
            fault=read_fault,
        ),
        "embed": replace(listing(_ID, "/v1/embeddings"), beside="/v1"),
    },
    credential=(CredentialField("key", "API key", secret=True, required=False),),
    lists_models=False,
)
