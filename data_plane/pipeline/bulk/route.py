"""Which file, batch or fine-tuning job is a call about, and what is to be done with it?  Path → route.

Ids are addresses and names of resources, with slashes and colons in them: they come encoded, at times more than once,
and some clients send them as they are.
"""

from dataclasses import dataclass
from typing import Final

FILES: Final = "files"
BATCHES: Final = "batches"
TUNINGS: Final = "fine_tuning"
_ROOTS: Final = {"/v1/files": FILES, "/v1/batches": BATCHES, "/v1/fine_tuning/jobs": TUNINGS}
#: What may stand behind an id, by what the id is of, with the method for it.
_ACTIONS: Final = {
    (FILES, "content"): "GET", (BATCHES, "cancel"): "POST", (BATCHES, "output"): "GET", (TUNINGS, "cancel"): "POST",
    (TUNINGS, "events"): "GET", (TUNINGS, "checkpoints"): "GET",
}  # fmt: skip
_ON_ALL: Final = {"POST": "create", "GET": "list"}


@dataclass(frozen=True, slots=True)
class Route:
    """What a call asks for: `kind` is what it is about, `id` as it came."""

    kind: str
    action: str
    id: str = ""


def _is_one_id(text: str) -> bool:
    return "/" not in text or "://" in text or text.startswith(("arn:", "projects/"))


def find_route(method: str, target: str) -> Route | None:
    """Return what a call at `target` (path and query) asks for; None when it is about none of these."""
    path = target.partition("?")[0].rstrip("/")
    root = next((root for root in _ROOTS if path == root or path.startswith(root + "/")), None)
    if root is None:
        return None
    kind, rest = _ROOTS[root], path[len(root) + 1 :]
    if not rest:
        action = _ON_ALL.get(method)
        return Route(kind, action) if action else None
    before, _, last = rest.rpartition("/")
    if before and _ACTIONS.get((kind, last)) == method and _is_one_id(before):
        return Route(kind, last, before)
    if method == "DELETE" and kind == FILES and _is_one_id(rest):
        return Route(kind, "delete", rest)
    return Route(kind, "read", rest) if method == "GET" and _is_one_id(rest) else None
