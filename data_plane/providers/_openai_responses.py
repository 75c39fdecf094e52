"""OpenAI's Responses API for callers who speak it, at providers that have it: nothing is translated, only read along.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from data_plane.core.types import NO_USAGE, Usage
from data_plane.providers._openai_like import listing, mapping, read_usage, told_error
from data_plane.providers._relayed_events import RelayedEvents
from data_plane.providers._responses_adapter import error_event
from data_plane.providers.base import Framing, Operation
from data_plane.providers.sse import named_frame
from shared.errors import UpstreamBroken

#: Events that end a response; after `failed` too nothing more comes, and the response itself says why.
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def _is_search(item: Mapping[str, Any]) -> bool:
    """Return whether an item of an answer is a search of the web: opening a page that was found is none."""
    return item.get("type") == "web_search_call" and mapping(item.get("action")).get("type", "search") == "search"


def _usage(answer: Mapping[str, Any]) -> Usage:
    """Return the tokens of a response, and the searches in it, which are charged beside them."""
    counted = read_usage(answer.get("usage"), answer.get("service_tier"))
    output = answer.get("output")
    items = [mapping(item) for item in output] if isinstance(output, list) else []
    searches = sum(map(_is_search, items))
    lookups = sum(item.get("type") == "file_search_call" for item in items)
    if counted is NO_USAGE or not (searches or lookups):
        return counted
    return replace(counted, web_searches=searches, file_searches=lookups)


class _Event(msgspec.Struct):
    type: str
    response: dict[str, Any] | None = None
    message: Any = None
    code: Any = None


class NativeResponseEvents(RelayedEvents[_Event]):
    """One stream of a response."""

    decoder = msgspec.json.Decoder(_Event)

    def note(self, event: _Event) -> None:
        """Take in what an event says; raises UpstreamBroken for one that is an error."""
        if event.type == "error":
            raise UpstreamBroken(told_error(self.provider, {"error": {"message": event.message, "code": event.code}}))
        told = mapping(event.response)
        if isinstance(told.get("model"), str):
            self.model = told["model"]
        if event.type in _LAST:
            self.finished = True
            self.usage = _usage(told)


def native_responses(provider: str, *, path: str = "/responses") -> Operation:
    """Return the Responses operation of a `provider` (its id) that has OpenAI's own."""
    return replace(
        listing(provider, path, holds="output"),
        usage=_usage,
        decoder=partial(NativeResponseEvents, provider=provider),
        framing=Framing(frame=named_frame, error_frame=error_event, end=b""),
    )
