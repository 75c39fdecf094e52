"""What a caller is told of files, batches and fine-tuning jobs: an object, or a list in OpenAI's pages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import orjson

from data_plane.core.exchange import Exchange
from data_plane.core.types import Answer, Json
from data_plane.pipeline.deps import Relay
from data_plane.providers._bulk import plain_id
from shared.errors import BadRequest

MAX_LISTED: Final = 1000
#: How many pages are looked through for the one behind `after`.
MAX_PAGES: Final = 50
#: Asks for so many objects at a token, and returns them with the token of what follows.
Fetch = Callable[[int, str | None], Awaitable[tuple[list[Json], str | None]]]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: an answer, and what relays it when it is a stream."""

    answer: Answer
    relay: Relay | None = None


def told_object(body: Json, exchange: Exchange) -> Done:
    """Return an answer in JSON, and note it."""
    exchange.answer_body, exchange.answer_json = body, orjson.dumps(body)
    exchange.answer_bytes = len(exchange.answer_json)
    return Done(Answer(200, exchange.answer_json))


async def shown_list(fetch: Fetch, exchange: Exchange) -> Done:
    """Return OpenAI's list of what `fetch` gives page by page, behind `after` and up to `limit`; raises BadRequest."""
    query = parse_qs(exchange.call.target.partition("?")[2])
    limit_text, after = query.get("limit", ["20"])[0], query.get("after", [""])[0]
    limit = int(limit_text) if limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 6 else 0
    if not 0 < limit <= MAX_LISTED:
        raise BadRequest(f"limit must be a number from 1 to {MAX_LISTED}.", path="limit")
    wanted = plain_id(after) if after else None
    found: list[Json] = []
    token: str | None = None
    for _ in range(MAX_PAGES):
        items, token = await fetch(limit + 1 if wanted is None else MAX_LISTED, token)
        for item in items:
            if wanted is None:
                found.append(item)
            elif plain_id(item["id"]) == wanted:
                wanted = None
        if token is None or len(found) > limit:
            break
    shown = found[:limit]
    page = {
        "object": "list", "data": shown, "has_more": len(found) > limit or token is not None,
        "first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None,
    }  # fmt: skip
    return told_object(page, exchange)
