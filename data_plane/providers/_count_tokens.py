"""Counting a message's tokens where the provider cannot: an estimate, and marked as one.

Agents that speak Anthropic's API ask before they send, to know when to shorten a conversation.
Source: https://docs.anthropic.com/en/api/messages-count-tokens
"""

from data_plane.core.estimate import asked_tokens
from data_plane.core.types import CallFacts, Json
from data_plane.providers.base import Operation


def _estimate(body: Json, _facts: CallFacts) -> Json:
    return {"input_tokens": asked_tokens(body), "estimated": True}


def count_by_estimate(chat: Operation) -> Operation:
    """Return the operation that estimates the tokens of a message, at a provider with this `chat`."""
    return Operation(
        path=chat.path,
        encode=chat.encode,
        decode=chat.decode,
        usage=chat.usage,
        decoder=chat.decoder,
        fault=chat.fault,
        local=_estimate,
    )
