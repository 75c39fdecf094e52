"""How does a provider that knows only chats complete a text, as OpenAI's oldest endpoint asks for?

The prompt becomes the message of a user, and what the model answers is the completion: providers with an endpoint of
their own for this (Anthropic, Cohere) have closed it to their newer models.  A prompt written for such an endpoint as a
conversation, with `Human:` and `Assistant:`, becomes that conversation.
Sources: https://platform.openai.com/docs/api-reference/completions,
https://docs.claude.com/en/api/migrating-from-text-completions-to-messages
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._openai_like import mapping
from data_plane.providers.base import ClosingDecoder, Operation, StreamDecoder
from shared.errors import BadRequest, Unsupported, UpstreamBroken

_TURN: Final = re.compile(r"(?:\A|\n\n)(Human|Assistant):")
_ROLES: Final = {"Human": "user", "Assistant": "assistant"}


def _is_set(value: Any) -> bool:
    return bool(value)


#: Parameters that only a completion has, and which of their values change what the answer is.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "suffix": _is_set,
    "echo": _is_set,
    "best_of": lambda value: value != 1,
    "logprobs": lambda value: value is not False,
}
_TAKEN: Final = REFUSED.keys() | {"prompt"}


def _text(prompt: object) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt and all(isinstance(part, str | int | list) for part in prompt):
        raise Unsupported("This provider completes one text at a time, and takes no tokens.", path="prompt")
    raise BadRequest("prompt must be a string.", path="prompt")


def _messages(prompt: str) -> list[Json]:
    # Looking for a word is a hundred times faster than splitting, and most prompts do not have it.
    before, *turns = _TURN.split(prompt) if "\n\nAssistant:" in prompt else (prompt,)
    said = [(_ROLES[who], text.strip()) for who, text in zip(turns[::2], turns[1::2], strict=True)]
    if len(said) < 2 or said[0][0] != "user" or said[-1][0] != "assistant":
        return [{"role": "user", "content": prompt}]
    if not said[-1][1]:
        # The answer begins where the prompt ends; any other text there is the beginning of the answer.
        said.pop()
    system = [{"role": "system", "content": before.strip()}] if before.strip() else []
    return system + [{"role": role, "content": text} for role, text in said]


def chat_of(body: Json) -> Json:
    """Return the chat that a request for a completion amounts to; raises BadRequest and Unsupported with the path."""
    for name, matters in REFUSED.items():
        value = body.get(name)
        if value is not None and matters(value):
            raise Unsupported(f"This provider completes texts by its chat, which has no {name}.", path=name)
    kept = {name: value for name, value in body.items() if name not in _TAKEN}
    return {**kept, "messages": _messages(_text(body.get("prompt")))}


def _choice(choice: object, said: str) -> Json:
    told = mapping(choice)
    text = mapping(told.get(said)).get("content")
    return {
        "text": text if isinstance(text, str) else "", "index": told.get("index") or 0, "logprobs": None,
        "finish_reason": told.get("finish_reason"),
    }  # fmt: skip


def _completion(answer: Json, said: str) -> Json:
    """Return what of a completion an answer or a chunk amounts to; `said` names the member with the text."""
    choices = answer.get("choices")
    found = [_choice(choice, said) for choice in choices] if isinstance(choices, list) else []
    return {**answer, "object": "text_completion", "choices": found}


class CompletionChunks:
    """Decodes one stream of a chat into pieces of a completion; `inner` is the provider's own decoder."""

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner

    @property
    def usage(self) -> Usage | None:
        """Return the tokens, as far as they are known."""
        return self._inner.usage

    @property
    def model(self) -> str | None:
        """Return the model that answers."""
        return self._inner.model

    @property
    def finished(self) -> bool:
        """Return whether the provider said that the answer is complete."""
        return self._inner.finished

    def feed(self, event: str, data: bytes) -> list[bytes]:
        """Return the pieces that a provider's event makes; raises as the provider's own decoder does."""
        return self._pieces(self._inner.feed(event, data))

    def close(self) -> list[bytes]:
        """Return what the provider's own decoder has left to say."""
        return self._pieces(self._inner.close()) if isinstance(self._inner, ClosingDecoder) else []

    def _pieces(self, chunks: list[bytes]) -> list[bytes]:
        try:
            made = [_completion(orjson.loads(chunk), "delta") for chunk in chunks]
            return [orjson.dumps(piece) for piece in made if _says_something(piece)]
        except (orjson.JSONDecodeError, TypeError):
            raise UpstreamBroken("The provider sent a piece of the answer that cannot be understood.") from None


def _says_something(piece: Json) -> bool:
    """Return whether a piece is more than the role that begins a message, or a thought."""
    return bool(piece.get("usage")) or any(choice["text"] or choice["finish_reason"] for choice in piece["choices"])


def complete_by_chat(chat: Operation) -> Operation:
    """Return the completion operation that a provider has by its chat."""

    def encode(body: Json, facts: CallFacts) -> Json:
        return chat.encode(chat_of(body), facts)

    def decode(answer: Json, facts: CallFacts) -> Json:
        return _completion(chat.decode(answer, facts), "message")

    return replace(
        chat,
        encode=encode,
        decode=decode,
        decoder=lambda facts: CompletionChunks(chat.decoder(facts)),
        passes_through=False,
    )
