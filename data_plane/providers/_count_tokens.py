"""Counting a message's tokens: by whom it can be counted, else by an estimate that says it is one.

Agents that speak Anthropic's API ask before they send, to know when to shorten a conversation.
Source: https://docs.anthropic.com/en/api/messages-count-tokens
"""

from collections.abc import Callable
from dataclasses import replace

from data_plane.core.estimate import asked_tokens
from data_plane.core.types import NO_USAGE, CallFacts, Json, Usage
from data_plane.providers._openai_like import told_error
from data_plane.providers.base import Operation
from shared.errors import UpstreamInvalid


def _estimate(body: Json, _facts: CallFacts) -> Json:
    return {"input_tokens": asked_tokens(body), "estimated": True}


def count_by_estimate(chat: Operation) -> Operation:
    """Return the operation that estimates the tokens of a message, at a provider with this `chat`."""
    return replace(chat, local=_estimate, passes_through=False)


def _uncounted(_answer: Json) -> Usage:
    """Return no tokens: counting them costs nothing."""
    return NO_USAGE


def counting(
    like: Operation,
    provider: str,
    path: str | Callable[[CallFacts], str],
    *,
    encode: Callable[[Json, CallFacts], Json],
    holds: str = "input_tokens",
) -> Operation:
    """Return the operation by which `provider` counts the tokens of a message itself.

    The answer has the number under `holds`; errors and credentials are those of the operation `like`.
    """

    def decode(answer: Json, _facts: CallFacts) -> Json:
        counted = answer.get(holds)
        if type(counted) is not int or counted < 0:
            if answer.get("error"):
                raise UpstreamInvalid(told_error(provider, answer))
            raise UpstreamInvalid(f"Invalid response received from {provider}.")
        return {"input_tokens": counted}

    return replace(like, path=path, encode=encode, decode=decode, usage=_uncounted, passes_through=False)
