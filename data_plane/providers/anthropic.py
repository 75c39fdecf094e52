"""Anthropic itself.  Source: https://docs.anthropic.com/en/api/messages"""

from data_plane.providers._anthropic_like import api_key, messages
from data_plane.providers._anthropic_native import native_messages
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="anthropic",
    label="Anthropic",
    base_url="https://api.anthropic.com/v1",
    authorise=api_key,
    operations={"chat": messages("anthropic"), "messages": native_messages("anthropic")},
    caller_headers=("anthropic-version", "anthropic-beta"),
    default_headers={"anthropic-version": "2023-06-01"},
    price_source="anthropic",
)
