"""Stability AI: images of texts and of images.  Source: https://platform.stability.ai/docs/api-reference"""

from functools import partial
from typing import Final

from data_plane.core.types import CallFacts
from data_plane.providers._listed_fault import read_listed_fault
from data_plane.providers._openai_like import ChunkDecoder, bearer
from data_plane.providers._openai_media import image_usage
from data_plane.providers._stability_image import (
    decode_bytes,
    decode_image,
    edit_path,
    encode_edit,
    encode_image,
    image_path,
    write_image,
)
from data_plane.providers.base import CredentialField, Operation, Provider

_ID: Final = "stability-ai"
_SETTINGS: Final = {
    "stability_client_id": "stability-client-id",
    "stability_client_user_id": "stability-client-user-id",
    "stability_client_version": "stability-client-version",
}


def _headers(facts: CallFacts) -> dict[str, str]:
    return {header: str(facts.settings[name]) for name, header in _SETTINGS.items() if facts.settings.get(name)}


_IMAGE: Final = Operation(
    path=image_path,
    encode=partial(encode_image, provider=_ID),
    decode=partial(decode_image, provider=_ID),
    usage=image_usage,
    decoder=lambda _facts: ChunkDecoder(_ID, hides_usage=False),
    fault=read_listed_fault,
    decode_binary=partial(decode_bytes, provider=_ID),
    write=write_image,
)

PROVIDER = Provider(
    id=_ID,
    label="Stability AI",
    base_url="https://api.stability.ai",
    authorise=bearer,
    operations={
        "image": _IMAGE,
        "edit_image": Operation(
            path=edit_path,
            encode=partial(encode_edit, provider=_ID),
            decode=_IMAGE.decode,
            usage=image_usage,
            decoder=_IMAGE.decoder,
            fault=read_listed_fault,
            decode_binary=_IMAGE.decode_binary,
            write=write_image,
        ),
    },
    caller_headers=tuple(_SETTINGS.values()),
    default_headers={"accept": "application/json"},
    credential=(
        CredentialField("key", "API key", secret=True),
        CredentialField("stability_client_id", "Client id", required=False),
        CredentialField("stability_client_user_id", "Client user id", required=False),
        CredentialField("stability_client_version", "Client version", required=False),
    ),
    headers=_headers,
    lists_models=False,
)
