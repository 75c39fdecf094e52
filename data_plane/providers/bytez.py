"""Bytez: OpenAI's shape, below its own API.  Source: https://docs.bytez.com/http-reference/examples/openai-compliant"""

from typing import Final

from data_plane.providers._models import models
from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

#: Where OpenAI's shape begins; the provider's own paths, which are forwarded, lie beside it.
_ROOT: Final = "/models/v2/openai/v1"

PROVIDER = Provider(
    id="bytez",
    label="Bytez",
    base_url="https://api.bytez.com",
    authorise=bearer,
    operations={
        "models": models("bytez", f"{_ROOT}/models"),
        "chat": chat("bytez", path=f"{_ROOT}/chat/completions"),
        "complete": chat("bytez", path=f"{_ROOT}/completions"),
    },
    caller_headers=("provider-key",),
)
