"""OpenAI's embeddings as the bodies that embedding models on Bedrock take, each family its own.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
"""

from collections.abc import Mapping
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._cohere_embed import encode_embed, image_of, openai_list, texts_of, vectors_of, whole
from data_plane.providers._openai_like import told_error
from data_plane.providers._openai_request import put_if, split_data_url, wrong
from shared.errors import Unsupported, UpstreamInvalid

_TITAN_IMAGE: Final = "amazon.titan-embed-image"
_TITAN: Final = "amazon.titan-embed"
_COHERE: Final = "cohere.embed"
_TRANSLATED: Final = frozenset({"model", "input", "dimensions", "stream"})
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "encoding_format": "how floats are written; OpenAI's clients read both ways",
}


def _titan(body: Json, provider: str, *, takes_images: bool) -> Json:
    items = texts_of(body, provider)
    if len(items) > 1:
        raise Unsupported(f"{provider} embeds one input per call with this model.", path="input")
    request: Json = {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}
    item, dimensions = items[0], body.get("dimensions")
    text = item if isinstance(item, str) else item.get("text")
    put_if(request, "inputText", text)
    if not takes_images:
        if not isinstance(text, str) or (isinstance(item, dict) and item.get("image") is not None):
            raise Unsupported(f"{provider} embeds only texts with this model.", path="input")
        put_if(request, "dimensions", dimensions)
        return request
    image = image_of(item, "input[0]") if isinstance(item, dict) else None
    if image is not None:
        if not image.startswith("data:"):
            raise Unsupported(f"{provider} does not fetch URLs: send the image in base64.", path="input[0].image")
        request["inputImage"] = split_data_url(image, "input[0].image")[1]
    elif not isinstance(text, str):
        raise wrong("input[0]", "must hold a text or an image.")
    if dimensions is not None:
        request["embeddingConfig"] = {"outputEmbeddingLength": dimensions}
    return request


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the body that the model takes; raises BadRequest, and Unsupported for a model of another family."""
    if _TITAN in facts.model:
        return _titan(body, provider, takes_images=_TITAN_IMAGE in facts.model)
    if _COHERE in facts.model:
        return encode_embed(body, provider)
    raise Unsupported(f"{provider} has no embeddings with the model {facts.model}.", path="model")


def _titan_vector(answer: Json, provider: str) -> Any:
    vector = answer.get("embedding")
    if not isinstance(vector, list):
        if answer.get("message"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    return vector


def decode_answer(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer; Cohere's models do not count tokens in it.  Raises UpstreamInvalid."""
    if _TITAN not in facts.model:
        return openai_list(vectors_of(answer, provider), facts.model, None, provider)
    counted = answer.get("inputTextTokenCount")
    tokens = None if counted is None else whole(counted)
    return openai_list([_titan_vector(answer, provider)], facts.model, tokens, provider)
