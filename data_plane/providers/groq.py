"""Groq: OpenAI's shape.  Source: https://console.groq.com/docs/api-reference"""

from data_plane.providers._openai_like import bearer, chat, speech
from data_plane.providers._openai_media import forms
from data_plane.providers._openai_responses import native_responses
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="groq",
    label="Groq",
    base_url="https://api.groq.com/openai/v1",
    authorise=bearer,
    operations={
        "chat": chat("groq"),
        "responses": native_responses("groq"),
        "speech": speech("groq"),
        **forms("groq", "transcribe", "translate"),
    },
)
