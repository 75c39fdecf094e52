"""Ranks as the bodies that ranking models on Bedrock take: Cohere's and Amazon's.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-supported.html
"""

import re
from collections.abc import Mapping
from typing import Final

from data_plane.core.types import NO_USAGE, CallFacts, Json, Usage
from data_plane.providers._openai_request import put_if
from data_plane.providers._rerank import document_texts, own_words
from shared.errors import Unsupported

_AMAZON: Final = "amazon.rerank"
_COHERE: Final = "cohere.rerank"
#: Cohere's models refuse a call that does not say which API its words are from.
_API_VERSION: Final = 2
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_INPUT_COUNT: Final = "x-amzn-bedrock-input-token-count"


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the body that the model takes; raises BadRequest, and Unsupported for a model of another family."""
    if _AMAZON not in facts.model and _COHERE not in facts.model:
        raise Unsupported(f"rerank is not supported by {provider} with the model {facts.model}.", path="model")
    request = {"query": body.get("query"), "documents": document_texts(body), **own_words(body)}
    put_if(request, "top_n", body.get("top_n"))
    if _COHERE in facts.model:
        request.setdefault("api_version", _API_VERSION)
    return request


def invoke_usage(headers: Mapping[str, str]) -> Usage:
    """Return the tokens that Bedrock counted for a model whose own answer does not say."""
    told = headers.get(_INPUT_COUNT, "")
    counted = int(told) if _NUMBER.fullmatch(told) else 0
    return Usage(input=counted) if counted else NO_USAGE
