"""The endpoints that the gateway understands: what their bodies must have, and which operation of a provider they are.

Every other path is forwarded as it came.  Source: `contract.md` 3.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: The operation of what is forwarded unread.
PROXY: Final = "proxy"
#: The endpoint whose body says which operation it is.
UNIVERSAL: Final = "universal"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: the path callers use, the fields without which it makes no sense, whether it can stream.

    `needs_model` False: a provider has a model of its own for a call that names none.  `takes_form`: the body may be
    `multipart/form-data`.  `query`: a WebSocket, opened by GET; these parameters of its address are the body.
    `is_list`: asked with GET, without a body, and answered by more than one provider.
    """

    operation: str
    path: str
    required: Mapping[str, tuple[tuple[type, ...], str]]
    streams: bool = False
    needs_model: bool = True
    takes_form: bool = False
    query: tuple[str, ...] = ()
    is_list: bool = False


_TEXT: Final = ((str,), "a string")
_TEXTS: Final = ((str, list), "a string or an array")
_LIST: Final = ((list,), "an array")

ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    endpoint.operation: endpoint
    for endpoint in (
        Endpoint("chat", "/v1/chat/completions", {"messages": _LIST}, streams=True),
        Endpoint("messages", "/v1/messages", {"messages": _LIST}, streams=True),
        Endpoint("responses", "/v1/responses", {}, streams=True),
        Endpoint("complete", "/v1/completions", {"prompt": _TEXTS}, streams=True),
        Endpoint("embed", "/v1/embeddings", {"input": _TEXTS}),
        Endpoint("image", "/v1/images/generations", {"prompt": _TEXT}, streams=True),
        Endpoint("speech", "/v1/audio/speech", {"input": _TEXT}),
        Endpoint("rerank", "/v1/rerank", {"query": _TEXT, "documents": _LIST}),
        Endpoint("moderate", "/v1/moderations", {"input": _TEXTS}, needs_model=False),
        Endpoint("ocr", "/v1/ocr", {"document": ((dict,), "an object")}),
        Endpoint("count_tokens", "/v1/messages/count_tokens", {"messages": _LIST}),
        Endpoint("transcribe", "/v1/audio/transcriptions", {}, streams=True, takes_form=True),
        Endpoint("translate", "/v1/audio/translations", {}, takes_form=True),
        Endpoint("edit_image", "/v1/images/edits", {}, streams=True, needs_model=False, takes_form=True),
        Endpoint("vary_image", "/v1/images/variations", {}, needs_model=False, takes_form=True),
        Endpoint("models", "/v1/models", {}, needs_model=False, is_list=True),
        Endpoint(
            "realtime",
            "/v1/realtime",
            {},
            needs_model=False,
            query=("model", "intent", "call_id", "input_audio_format"),
        ),
    )
}
#: `type` of a universal call → operation.
UNIVERSAL_TYPES: Final[Mapping[str, str]] = {
    "chat": "chat", "completion": "complete", "embedding": "embed", "image": "image", "audio": "speech",
}  # fmt: skip
#: Operations whose bodies may be passed through unread (`contract.md` 1.9).
NITRO: Final = frozenset({"chat", "embed", "messages", "responses"})
#: Ends of paths whose bodies are JSON, by their operation.
JSON_PATHS: Final[Mapping[str, str]] = {
    endpoint.path.removeprefix("/v1"): endpoint.operation
    for endpoint in ENDPOINTS.values()
    if not (endpoint.takes_form or endpoint.query or endpoint.is_list)
}
