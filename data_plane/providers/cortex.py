"""Snowflake Cortex: OpenAI's chat and Anthropic's Messages at an account's own address, and embeddings of its own.

Claude's chats go through Messages: Cortex's own chat does not know the role `tool` for them.  The key is a programmatic
access token, or a JSON Web Token of a key pair or of OAuth; Cortex tells them apart unless a header does.
Source: https://docs.snowflake.com/en/user-guide/snowflake-cortex/cortex-rest-api
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._anthropic_like import messages
from data_plane.providers._anthropic_native import native_messages
from data_plane.providers._cohere_embed import texts_of
from data_plane.providers._openai_like import bearer, chat, mapping
from data_plane.providers._openai_request import wrong
from data_plane.providers._vectors import LEFT_OUT, embedding, refuse_answer, vector_list
from data_plane.providers.base import CredentialField, Operation, Provider

_ID: Final = "cortex"
_CHAT: Final = chat(_ID, path="/v1/chat/completions")
_CLAUDE_CHAT: Final = messages(_ID, path="/v1/messages")
_CLAUDE_MESSAGES: Final = native_messages(_ID, path="/v1/messages")
_TRANSLATED: Final = frozenset({"model", "input", "encoding_format"})


def _encode_chat(body: Json, facts: CallFacts) -> Json:
    shaped = _CHAT.encode(body, facts)
    # Cortex passes over `max_tokens` without a word and stops at a limit of its own.
    limit = shaped.pop("max_tokens", None)
    if limit is not None and shaped.get("max_completion_tokens") is None:
        shaped["max_completion_tokens"] = limit
    return shaped


def _on_claude(operation: Operation) -> Callable[[str], Operation | None]:
    return lambda model: operation if model.lower().startswith("claude") else None


def _encode_embed(body: Json, facts: CallFacts, *, provider: str) -> Json:
    texts = texts_of(body, provider)
    if not all(isinstance(text, str) for text in texts):
        raise wrong("input", "must be a string or a list of strings.")
    own = {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}
    return {**own, "model": facts.model, "text": texts}


def _decode_embed(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's list of vectors, each of which Cortex puts into a list of its own; raises UpstreamInvalid."""
    rows = answer.get("data")
    if not isinstance(rows, list):
        raise refuse_answer(answer, provider)
    vectors = [mapping(row).get("embedding") for row in rows]
    return vector_list(map(_unpacked, vectors), answer, facts, provider=provider)


def _unpacked(vector: Any) -> Any:
    is_packed = isinstance(vector, list) and len(vector) == 1 and isinstance(vector[0], list)
    return vector[0] if is_packed else vector


PROVIDER = Provider(
    id=_ID,
    label="Snowflake Cortex",
    base_url="https://{snowflake_account}.snowflakecomputing.com/api/v2/cortex",
    authorise=bearer,
    operations={
        "chat": replace(_CHAT, encode=_encode_chat),
        "embed": embedding(_ID, "/inference:embed", _encode_embed, _decode_embed),
    },
    caller_headers=("x-snowflake-authorization-token-type", "anthropic-version", "anthropic-beta"),
    default_headers={"anthropic-version": "2023-06-01"},
    credential=(
        CredentialField("key", "Programmatic access token", secret=True),
        CredentialField("snowflake_account", "Account identifier (myorg-account)"),
    ),
    chosen={"chat": _on_claude(_CLAUDE_CHAT), "messages": _on_claude(_CLAUDE_MESSAGES)},
    lists_models=False,
)
