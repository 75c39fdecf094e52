"""Amazon Bedrock: every chat model through Converse, embeddings and images through each model's own body.

A call is signed with an access key, or carries a Bedrock API key.  The model stands in the path: an id, an inference
profile or an ARN.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers import _invoke_embed, _invoke_image
from data_plane.providers._aws import EVENT_STREAM, AwsKey, EventStreamSplitter, sign_request
from data_plane.providers._converse_answer import decode_answer, read_bedrock_fault
from data_plane.providers._converse_request import encode_request
from data_plane.providers._converse_stream import ConverseDecoder
from data_plane.providers._openai_like import bearer, usage_of
from data_plane.providers.base import CredentialField, Framing, Operation, Provider
from shared.errors import BadRequest, Unsupported
from shared.redact import Secret

_ID: Final = "bedrock"
_SERVICE: Final = "bedrock"
#: Ways of authorising that need AWS's token service or the machine's own identity.
_ELSEWHERE: Final = frozenset({"assumedRole", "serviceRole"})


def _path(facts: CallFacts, action: str) -> str:
    if facts.model.strip(".") == "":
        raise BadRequest("model must name a model.", path="model")
    return f"/model/{quote(facts.model, safe='', errors='replace')}/{action}"


def _converse_path(facts: CallFacts) -> str:
    return _path(facts, "converse-stream" if facts.stream else "converse")


def _invoke_path(facts: CallFacts) -> str:
    return _path(facts, "invoke")


def _access_key(settings: Mapping[str, Any]) -> AwsKey | None:
    key_id, secret, token = (
        settings.get(name) for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    )
    if not isinstance(key_id, str) or not key_id or not isinstance(secret, Secret) or not secret:
        return None
    return AwsKey(key_id, secret, token if isinstance(token, Secret) else None)


def _sign(request: UpstreamRequest, key: Secret | None, facts: CallFacts) -> None:
    """Sign with the access key if there is one, else send `key` as a Bedrock API key; raises BadRequest.

    The access key wins because many clients cannot help sending some key of their own along.
    """
    access = _access_key(facts.settings)
    if access is None:
        if facts.settings.get("aws_auth_type") in _ELSEWHERE:
            raise Unsupported(f"{_ID} does not support this aws_auth_type here.", path="aws_auth_type")
        if not key:
            raise BadRequest(f"{_ID} needs an API key, or aws_access_key_id and aws_secret_access_key.", path="key")
        bearer(key, request.headers)
        return
    region = facts.settings.get("aws_region")
    if not isinstance(region, str) or not region:
        raise BadRequest(f"aws_region is required for the provider {_ID}.", path="aws_region")
    if request.upload is not None:
        raise Unsupported(f"{_ID} cannot sign a body that is sent on while it arrives.")
    sign_request(request, access, region=region, service=_SERVICE, now_s=time.time())


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
    base_url="https://bedrock-runtime.{aws_region}.amazonaws.com",
    authorise=bearer,
    operations={
        "chat": _operation(_converse_path, encode_request, decode_answer),
        "embed": _operation(_invoke_path, _invoke_embed.encode_request, _invoke_embed.decode_answer),
        "image": _operation(_invoke_path, _invoke_image.encode_request, _invoke_image.decode_answer),
    },
    credential=(
        CredentialField("key", "Bedrock API key", secret=True, required=False),
        CredentialField("aws_access_key_id", "AWS access key ID", required=False),
        CredentialField("aws_secret_access_key", "AWS secret access key", secret=True, required=False),
        CredentialField("aws_session_token", "AWS session token", secret=True, required=False),
        CredentialField("aws_region", "AWS region"),
    ),
    price_source="aws",
    sign=_sign,
)
