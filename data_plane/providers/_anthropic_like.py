"""Anthropic's Messages shape: the operation that translates OpenAI's chat to it and back.

The parts are `_anthropic_request` (with `_messages`, `_parts`, `_tools`), `_anthropic_answer` and `_anthropic_stream`.
"""

from functools import partial

from data_plane.providers._anthropic_answer import decode_message
from data_plane.providers._anthropic_request import encode_request
from data_plane.providers._anthropic_stream import MessageDecoder
from data_plane.providers._openai_like import read_fault, usage_of
from data_plane.providers.base import Operation
from shared.redact import Secret


def api_key(secret: Secret, headers: dict[str, str]) -> None:
    """Write `secret` into `headers` as Anthropic's API key."""
    headers["x-api-key"] = secret.reveal()


def messages(provider: str, *, path: str = "/messages") -> Operation:
    """Return the chat operation of a `provider` (its id) that speaks Anthropic's Messages API."""
    return Operation(
        path=path,
        encode=partial(encode_request, provider=provider),
        decode=partial(decode_message, provider=provider),
        usage=usage_of,
        decoder=partial(MessageDecoder, provider=provider),
        fault=read_fault,
    )
