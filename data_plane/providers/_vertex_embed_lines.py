"""Embeddings as lines of Vertex AI's batches: what is asked, by the generation of the model, and what is answered.

Gemini's embedding models take a content and its settings, the earlier ones an instance that comes back with its
prediction.  A line's id travels as `key` beside either.
Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/embeddings/batch-prediction-genai-embeddings
"""

import re
from typing import Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._bulk import whole_number, word
from data_plane.providers._gemini_embeddings import encode_content, encode_instances
from data_plane.providers._openai_like import mapping
from data_plane.providers._openai_request import put_if
from shared.errors import Unsupported

_KEY: Final = "key"
_CONFIG: Final = "embed_content_config"
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])[A-Z]")


def embeds(model: str) -> bool:
    """Return whether a model makes embeddings of texts, by its name or its path."""
    name = model.rpartition("/")[2]
    return "embedding" in name and not name.startswith("multimodal")


def encode_line(custom_id: str, body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the line of one request; raises BadRequest and Unsupported."""
    if facts.model.startswith("gemini-embedding"):
        config = encode_content(body, facts, provider=provider)
        request = {"content": config.pop("content")}
        # The words of a line are those of the message, not of its JSON.
        put_if(request, _CONFIG, {_CAPITAL.sub(lambda at: "_" + at[0].lower(), name): config[name] for name in config})
        return {_KEY: custom_id, "request": request}
    asked = encode_instances(body, facts, provider=provider)
    if len(asked["instances"]) > 1:
        raise Unsupported(f"{provider} embeds one input per line of a batch.", path="input")
    if beyond := next(iter(mapping(asked.get("parameters"))), ""):
        raise Unsupported(f"{provider} takes no {beyond} with this model in a batch.", path=beyond)
    return {**asked["instances"][0], _KEY: custom_id}


def line_key(line: Json) -> str:
    """Return the id of a line that holds embeddings, or should; "" for one that holds none."""
    return word(line.get(_KEY)) or word(mapping(line.get("instance")).get(_KEY))


def embeddings_of(line: Json) -> Json | None:
    """Return what a line answered, as `decode_embeddings` takes it; None for one that is none of embeddings."""
    if isinstance(line.get("predictions"), list):
        return {"predictions": line["predictions"]}
    answer = line.get("response")
    if not isinstance(answer, dict) or "embedding" not in answer:
        return None
    counted = mapping(answer.get("usageMetadata")) or {"promptTokenCount": whole_number(answer.get("tokenCount"))}
    return {"embedding": answer["embedding"], "usageMetadata": counted}
