"""What did a call use that nobody counted?  An estimate, marked as one, because nothing that costs may count as free.

Some providers state no tokens; others state them at the end of a stream, which never comes when the caller hangs up.
"""

from dataclasses import replace
from typing import Any, Final

from data_plane.core.estimate import asked_tokens, text_tokens, value_tokens
from data_plane.core.exchange import Exchange
from data_plane.core.types import Json, Usage

#: Operations that a model reads tokens for, by whether it also writes some.
_WRITES: Final = {"chat": True, "messages": True, "responses": True, "complete": True, "embed": False, "rerank": False}


def _written(value: Any) -> int:
    """Return about how many tokens one choice, message or item of an answer is."""
    if not isinstance(value, dict):
        return value_tokens(value)
    told = value.get("message") or {name: value[name] for name in ("text", "content", "arguments") if name in value}
    return value_tokens(told)


def _answer_tokens(exchange: Exchange, completion: Json | None) -> int:
    if completion is None:
        # Hosts that stream send about one token with each piece.
        return exchange.answer_pieces
    told = completion.get("choices") or completion.get("content") or completion.get("output")
    return sum(map(_written, told)) if isinstance(told, list) else value_tokens(told)


def counted(exchange: Exchange, completion: Json | None) -> Usage:
    """Return what an exchange used: as the provider counted it, else estimated from the bodies.

    `completion` is the answer as far as it came, None when it was not kept.  A call that was not read, or that got no
    answer, has used nothing that anybody could tell.
    """
    usage, job = exchange.usage, exchange.job
    unread = job is None or job.raw is not None
    if usage.source != "none" or unread or not (200 <= exchange.status < 300 and exchange.attempts):
        return usage
    assert job is not None  # noqa: S101 -- looked at above, for the type checker
    if job.operation == "speech":
        spoken = job.body.get("input")
        length = len(spoken) if isinstance(spoken, str) else 0
        return replace(usage, characters=length, input=text_tokens(spoken or ""), source="estimated")
    if job.operation not in _WRITES:
        return usage
    written = _answer_tokens(exchange, completion) if _WRITES[job.operation] else 0
    return replace(usage, input=asked_tokens(job.body), output=written, source="estimated")
