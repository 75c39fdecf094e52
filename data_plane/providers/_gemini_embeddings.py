"""Embeddings at Google: three shapes of requests and answers for OpenAI's one.

The Gemini API takes a batch; Vertex AI takes instances, and for its later models one content at a time.
Source: https://ai.google.dev/api/embeddings,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from collections.abc import Mapping
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import count, mapping, told_error
from data_plane.providers._openai_request import put_if, wrong
from shared.errors import Unsupported, UpstreamInvalid

#: What OpenAI's parameters are called, and Google's own in either spelling.
_RENAMED: Final[Mapping[str, str]] = {
    "dimensions": "outputDimensionality", "output_dimensionality": "outputDimensionality", "task_type": "taskType",
    "auto_truncate": "autoTruncate",
}  # fmt: skip
#: Left out: `user` says who asks; numbers come as numbers whatever `encoding_format` says, and OpenAI's clients that
#: ask for base64 on their own take them so.
_TAKEN: Final = frozenset({"model", "input", "user", "encoding_format"})
#: What of an instance's members belongs to each of them, not to all.
_OF_INSTANCES: Final[Mapping[str, str]] = {"taskType": "task_type", "title": "title"}


def _texts(body: Json, provider: str) -> list[str]:
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise wrong("input", "must be a string or a list that is not empty.")
    if any(type(text) is int or isinstance(text, list) for text in texts):
        raise Unsupported(f"{provider} does not take tokens as input: send text.", path="input")
    if not all(isinstance(text, str) for text in texts):
        raise wrong("input", "must hold strings.")
    return texts


def _parameters(body: Json) -> Json:
    found: Json = {}
    for name, value in body.items():
        if name not in _TAKEN:
            put_if(found, _RENAMED.get(name, name), value)
    return found


def _content(text: str) -> Json:
    return {"parts": [{"text": text}]}


def encode_batch(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the `batchEmbedContents` request of an OpenAI embeddings body; raises BadRequest, Unsupported."""
    parameters = _parameters(body)
    model = facts.model if "/" in facts.model else f"models/{facts.model}"
    texts = _texts(body, provider)
    return {"requests": [{"model": model, "content": _content(text), **parameters} for text in texts]}


def encode_instances(body: Json, _facts: CallFacts, *, provider: str) -> Json:
    """Return the `predict` request of an OpenAI embeddings body; raises BadRequest, Unsupported."""
    parameters = _parameters(body)
    of_each = {own: parameters.pop(name) for name, own in _OF_INSTANCES.items() if name in parameters}
    request: Json = {"instances": [{"content": text, **of_each} for text in _texts(body, provider)]}
    put_if(request, "parameters", parameters)
    return request


def encode_content(body: Json, _facts: CallFacts, *, provider: str) -> Json:
    """Return the `embedContent` request of an OpenAI embeddings body; raises BadRequest, Unsupported."""
    texts = _texts(body, provider)
    if len(texts) > 1:
        raise Unsupported(f"{provider} embeds one input at a time with this model.", path="input")
    return {"content": _content(texts[0]), **_parameters(body)}


def _listed(answer: Json, provider: str) -> list[Any]:
    """Return what each input became, from any of the three shapes; raises UpstreamInvalid."""
    found = answer.get("embeddings")
    if "embedding" in answer:
        found = [answer["embedding"]]
    elif isinstance(answer.get("predictions"), list):
        found = [mapping(told).get("embeddings") for told in answer["predictions"]]
    if isinstance(found, list) and all(isinstance(mapping(one).get("values"), list) for one in found):
        return found
    if answer.get("error"):
        raise UpstreamInvalid(told_error(provider, answer))
    raise UpstreamInvalid(f"Invalid response received from {provider}.")


def decode_embeddings(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's list of embeddings of any of Google's answers; raises UpstreamInvalid when it is none."""
    listed = _listed(answer, provider)
    # The floats may be many thousands; they are handed on as they are.
    embeddings = [
        {"object": "embedding", "index": number, "embedding": mapping(one).get("values")}
        for number, one in enumerate(listed)
    ]
    made: Json = {"object": "list", "data": embeddings, "model": facts.model}
    told = mapping(answer.get("usageMetadata"))
    counts = [mapping(one.get("statistics")).get("token_count") for one in listed]
    if told:
        tokens = count(told.get("promptTokenCount"))
        made["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    elif any(isinstance(number, (int, float)) for number in counts):
        # Vertex AI writes whole numbers with a decimal point.
        tokens = sum(int(number) for number in counts if isinstance(number, (int, float)) and number > 0)
        made["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    made["provider"] = provider
    return made
