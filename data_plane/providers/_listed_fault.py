"""What does an error say that lists its reasons: `{"errors": [...]}`, each a text or an object with a message?

Source: https://developers.cloudflare.com/fundamentals/api/reference/responses,
https://platform.stability.ai/docs/api-reference
"""

from typing import Any

from data_plane.core.types import Json
from data_plane.providers._openai_like import mapping, read_fault, told_error
from data_plane.providers.base import ProviderFault
from shared.errors import UpstreamInvalid


def _message(reason: Any) -> str:
    text = mapping(reason).get("message") if isinstance(reason, dict) else reason
    return text if isinstance(text, str) else ""


def read_listed_fault(status: int, body: Json | None) -> ProviderFault:
    """Return the error of a body with a list of reasons, of OpenAI's shape where it has none."""
    told = mapping(body)
    reasons = told.get("errors")
    messages = [text for reason in reasons if (text := _message(reason))] if isinstance(reasons, list) else []
    if not messages or not isinstance(reasons, list):
        return read_fault(status, body)
    code = next((code for reason in reasons if (code := mapping(reason).get("code")) is not None), None)
    name = told.get("name")
    return ProviderFault(
        message="; ".join(messages),
        type=name if isinstance(name, str) else None,
        code=code if isinstance(code, str | int) and not isinstance(code, bool) else None,
    )


def refuse_listed(answer: Json, provider: str) -> UpstreamInvalid:
    """Return the refusal of an answer that has nothing in it, with the reasons that it gives."""
    if not any(answer.get(name) for name in ("errors", "error", "message")):
        return UpstreamInvalid(f"Invalid response received from {provider}.")
    return UpstreamInvalid(told_error(provider, {"message": read_listed_fault(200, answer).message}))
