"""Anthropic itself.  Source: https://docs.anthropic.com/en/api/messages"""

from typing import Final

from data_plane.providers._anthropic_like import api_key, messages
from data_plane.providers._anthropic_native import native_messages
from data_plane.providers._count_tokens import counting
from data_plane.providers.base import Provider

_MESSAGES: Final = native_messages("anthropic")

PROVIDER = Provider(
    id="anthropic",
    label="Anthropic",
    base_url="https://api.anthropic.com/v1",
    authorise=api_key,
    operations={
        "chat": messages("anthropic"),
        "messages": _MESSAGES,
        "count_tokens": counting(_MESSAGES, "anthropic", "/messages/count_tokens", encode=_MESSAGES.encode),
    },
    caller_headers=("anthropic-version", "anthropic-beta"),
    default_headers={"anthropic-version": "2023-06-01"},
    price_source="anthropic",
)
