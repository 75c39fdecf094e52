"""Gemini as Google sells it to developers.  Source: https://ai.google.dev/api"""

from data_plane.providers._gemini_like import developer_operations
from data_plane.providers._google_auth import api_key
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="google",
    label="Google Gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    authorise=api_key,
    operations=developer_operations("google"),
    price_source="google",
)
