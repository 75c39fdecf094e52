"""Replicate: language and image models as predictions that the call waits for; all else by forwarded calls.

A model is named `owner/name` (official), `owner/name:version` or a version alone (community), or
`deployments/owner/name`.  Replicate holds a call open for a minute at most.
Source: https://replicate.com/docs/reference/http
"""

from dataclasses import replace
from functools import partial
from typing import Final

from data_plane.providers._openai_like import bearer, read_fault, usage_of
from data_plane.providers._openai_media import image_usage
from data_plane.providers._prediction_answer import WHOLE, PredictionDecoder, decode_chat, decode_image
from data_plane.providers._prediction_request import encode_chat, encode_image, prediction_path
from data_plane.providers.base import Operation, Provider

_ID: Final = "replicate"
_CHAT: Final = Operation(
    path=prediction_path,
    encode=partial(encode_chat, provider=_ID),
    decode=partial(decode_chat, provider=_ID),
    usage=usage_of,
    decoder=partial(PredictionDecoder, provider=_ID),
    fault=read_fault,
    framing=WHOLE,
    # A forwarded call that does not ask for this is answered at once, as callers of Replicate expect.
    headers=(("prefer", "wait"),),
)

PROVIDER = Provider(
    id=_ID,
    label="Replicate",
    base_url="https://api.replicate.com/v1",
    authorise=bearer,
    operations={
        "chat": _CHAT,
        "image": replace(
            _CHAT,
            encode=partial(encode_image, provider=_ID),
            decode=partial(decode_image, provider=_ID),
            usage=image_usage,
        ),
    },
    caller_headers=("prefer", "cancel-after"),
    lists_models=False,
)
