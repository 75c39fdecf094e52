"""Oracle's Generative AI: chats in its generic format and in Cohere's, embeddings and ranks.

Models whose names begin with `cohere.` are asked in Cohere's format, unless the caller names one as `apiFormat`; a
dedicated endpoint is named by its OCID.  Calls are signed with an API signing key, or carry an API key.
Source: https://docs.oracle.com/iaas/api/#/en/generative-ai-inference/20231130/
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._oci_answer import decode_answer
from data_plane.providers._oci_cohere import encode_cohere
from data_plane.providers._oci_request import encode_generic
from data_plane.providers._oci_sign import OCI_FIELDS, sign_as_user
from data_plane.providers._oci_stream import OciDecoder
from data_plane.providers._oci_texts import decode_embed, decode_oci_ranks, encode_embed, encode_ranks
from data_plane.providers._openai_like import bearer, read_fault, usage_of
from data_plane.providers._openai_request import wrong
from data_plane.providers._rerank import rank_usage
from data_plane.providers._vectors import vector_usage
from data_plane.providers.base import CredentialField, Operation, Provider
from shared.errors import BadRequest
from shared.redact import Secret

_ID: Final = "oracle"
#: The version of the API that these translations were made for.
API_VERSION: Final = "20231130"
_VERSION: Final = re.compile(r"[0-9]{8}")
_FORMATS: Final = {"GENERIC": encode_generic, "COHERE": encode_cohere}


def _encode_chat(body: Json, facts: CallFacts) -> Json:
    wanted = body.get("apiFormat")
    if wanted is None:
        wanted = "COHERE" if facts.model.startswith("cohere.") else "GENERIC"
    if wanted not in ("GENERIC", "COHERE"):
        raise wrong("apiFormat", "must be GENERIC or COHERE.")
    return _FORMATS[wanted](body, facts, provider=_ID)


def _path(action: str) -> Callable[[CallFacts], str]:
    def place(facts: CallFacts) -> str:
        version = facts.settings.get("oracle_api_version") or API_VERSION
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise BadRequest("oracle_api_version must be like 20231130.", path="oracle_api_version")
        return f"/{version}/actions/{action}"

    return place


def _sign(request: UpstreamRequest, key: Secret | None, facts: CallFacts) -> None:
    sign_as_user(request, key, facts, provider=_ID, now_s=time.time())


_DECODER: Final = partial(OciDecoder, provider=_ID)

PROVIDER = Provider(
    id=_ID,
    label="Oracle Generative AI",
    base_url="https://inference.generativeai.{oracle_region}.oci.oraclecloud.com",
    authorise=bearer,
    operations={
        "chat": Operation(
            path=_path("chat"),
            encode=_encode_chat,
            decode=partial(decode_answer, provider=_ID),
            usage=usage_of,
            decoder=_DECODER,
            fault=read_fault,
        ),
        "embed": Operation(
            path=_path("embedText"),
            encode=partial(encode_embed, provider=_ID),
            decode=partial(decode_embed, provider=_ID),
            usage=vector_usage,
            decoder=_DECODER,
            fault=read_fault,
        ),
        "rerank": Operation(
            path=_path("rerankText"),
            encode=partial(encode_ranks, provider=_ID),
            decode=partial(decode_oci_ranks, provider=_ID),
            usage=rank_usage,
            decoder=_DECODER,
            fault=read_fault,
        ),
    },
    credential=(
        CredentialField("key", "API key, in place of a signing key", secret=True, required=False),
        *OCI_FIELDS,
        CredentialField("oracle_region", "Region"),
        CredentialField("oracle_compartment_id", "Compartment OCID (empty: the tenancy's root)", required=False),
        CredentialField("oracle_serving_mode", "Serving mode: ON_DEMAND or DEDICATED", required=False),
        CredentialField("oracle_api_version", "API version (empty: 20231130)", required=False),
    ),
    sign=_sign,
    lists_models=False,
)
