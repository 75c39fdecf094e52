"""Amazon Bedrock: every chat model through Converse, all else through each model's own body.

A call is signed with an access key (`_aws_account.py` says where that comes from), or carries a Bedrock API key.  The
model stands in the path: an id, an inference profile or an ARN.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote

from data_plane.core.identity import IdentityAsk
from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers import _invoke_embed, _invoke_image, _invoke_rerank
from data_plane.providers._aws import EVENT_STREAM, EventStreamSplitter
from data_plane.providers._aws_account import AWS_FIELDS, aws_identity, sign_as_account
from data_plane.providers._bedrock_bulk import BULK, CONTROL, RUNTIME, STORAGE
from data_plane.providers._claude_clouds import ON_BEDROCK
from data_plane.providers._converse_answer import decode_answer, read_bedrock_fault
from data_plane.providers._converse_request import encode_request
from data_plane.providers._converse_stream import ConverseDecoder
from data_plane.providers._openai_like import bearer, usage_of
from data_plane.providers._openai_media import image_usage
from data_plane.providers._rerank import decode_ranks, rank_usage
from data_plane.providers.base import CredentialField, Framing, Operation, Provider
from shared.errors import BadRequest
from shared.redact import Secret

_ID: Final = "bedrock"
_SERVICE: Final = "bedrock"


def _path(facts: CallFacts, action: str) -> str:
    if facts.model.strip(".") == "":
        raise BadRequest("model must name a model.", path="model")
    return f"/model/{quote(facts.model, safe='', errors='replace')}/{action}"


def _converse_path(facts: CallFacts) -> str:
    return _path(facts, "converse-stream" if facts.stream else "converse")


def _invoke_path(facts: CallFacts) -> str:
    return _path(facts, "invoke")


def _token(_key: Secret | None, facts: CallFacts) -> IdentityAsk | None:
    return aws_identity(facts.settings, provider=_ID, service="bedrock-runtime")


def _sign(request: UpstreamRequest, key: Secret | None, facts: CallFacts) -> None:
    """Sign with the access key if there is one, else send `key` as a Bedrock API key; raises BadRequest.

    The access key wins because many clients cannot help sending some key of their own along.
    """
    if sign_as_account(request, facts, provider=_ID, service=_SERVICE):
        return
    if not key:
        raise BadRequest(f"{_ID} needs an API key, or aws_access_key_id and aws_secret_access_key.", path="key")
    bearer(key, request.headers)


def _operation(path: Callable[[CallFacts], str], encode: Callable[..., Json], decode: Callable[..., Json]) -> Operation:
    return Operation(
        path=path,
        encode=partial(encode, provider=_ID),
        decode=partial(decode, provider=_ID),
        usage=usage_of,
        decoder=partial(ConverseDecoder, provider=_ID),
        fault=read_bedrock_fault,
        framing=Framing(EventStreamSplitter, EVENT_STREAM),
    )


PROVIDER = Provider(
    id=_ID,
    label="Amazon Bedrock",
    base_url=RUNTIME,
    authorise=bearer,
    operations={
        "chat": _operation(_converse_path, encode_request, decode_answer),
        "embed": replace(
            _operation(_invoke_path, _invoke_embed.encode_request, _invoke_embed.decode_answer),
            usage_of_headers=_invoke_rerank.invoke_usage,
        ),
        "image": replace(
            _operation(_invoke_path, _invoke_image.encode_request, _invoke_image.decode_answer), usage=image_usage
        ),
        "rerank": replace(
            _operation(_invoke_path, _invoke_rerank.encode_request, decode_ranks),
            usage=rank_usage,
            usage_of_headers=_invoke_rerank.invoke_usage,
        ),
    },
    credential=(
        CredentialField("key", "Bedrock API key", secret=True, required=False),
        *AWS_FIELDS,
    ),
    price_source="aws",
    lists_models=False,
    chosen=ON_BEDROCK,
    token=_token,
    sign=_sign,
    hosts=(CONTROL, STORAGE),
    bulk=BULK,
)
