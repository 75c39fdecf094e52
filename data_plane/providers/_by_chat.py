"""What every provider with a chat has besides: operations that a chat can stand for, by name."""

from collections.abc import Callable, Mapping
from typing import Final

from data_plane.providers._complete_adapter import complete_by_chat
from data_plane.providers._count_tokens import count_by_estimate
from data_plane.providers._messages_adapter import messages_by_chat
from data_plane.providers._responses_adapter import responses_by_chat
from data_plane.providers.base import Operation

BY_CHAT: Final[Mapping[str, Callable[[Operation], Operation]]] = {
    "complete": complete_by_chat,
    "count_tokens": count_by_estimate,
    "messages": messages_by_chat,
    "responses": responses_by_chat,
}
