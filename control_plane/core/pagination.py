"""Lists in pages: `current_page` from 0, `page_size` of 1 to 1000; SDKs write both in camel case too."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.errors import Invalid

DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 1000
#: Keeps the offset within what the database counts.
MAX_PAGE: Final = 1_000_000
#: From so many rows on, their number may be a few seconds old.
LARGE: Final = 10_000
TOTAL_FOR_S: Final = 15.0
MOST_TOTALS: Final = 1000
#: From this row on, what stands before is passed over by ids alone, and from a place that is known.
FAR: Final = 1000
BOOKMARK_FOR_S: Final = 60.0
MOST_BOOKMARKS: Final = 10_000


def _number(query: Mapping[str, str], names: tuple[str, str], default: int, least: int) -> int:
    given = next((query[name] for name in names if query.get(name)), None)
    if given is None:
        return default
    if not given.isascii() or not given.isdecimal() or len(given) > 9 or int(given) < least:
        raise Invalid(f"{names[0]} must be a whole number, at least {least}")
    return int(given)


def _name_of(rows: QuerySet[Any]) -> str:
    """Return what tells a list from every other one: what is asked for, with the caller's organisation in it."""
    return hashlib.sha256(repr(rows.query.sql_with_params()).encode()).hexdigest()


def _direction(rows: QuerySet[Any]) -> str | None:
    """Return how to compare with the id before: "gt" or "lt"; None for rows that are not in the order of their ids."""
    order = list(rows.query.order_by or rows.model._meta.ordering)  # noqa: SLF001 -- Django's documented way
    if order in (["id"], ["pk"]):
        return "gt"
    return "lt" if order in (["-id"], ["-pk"]) else None


class _Bookmarks:
    """Which id stood before a far place of a list a moment ago.

    Who reads a long list page by page would pass over everything again for each page.  Rows that are deleted meanwhile
    move no page, so that such a reader misses none.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, dict[int, tuple[float, Any]]] = {}
        self._count = 0

    def nearest(self, name: str, place: int) -> tuple[int, Any]:
        """Return the last place up to `place` that is known, and the id before it; (0, None) for none."""
        now = self._clock()
        known = [
            (at, found) for at, (until, found) in list(self._known.get(name, {}).items()) if at <= place and until > now
        ]
        return max(known, key=lambda each: each[0], default=(0, None))

    def note(self, name: str, place: int, found: Any) -> None:
        """Note which id stands before a place."""
        if self._count >= MOST_BOOKMARKS:
            self._known, self._count = {}, 0
        self._count += 1
        self._known.setdefault(name, {})[place] = (self._clock() + BOOKMARK_FOR_S, found)


class _Totals:
    """How many rows large lists had a moment ago: counting them again for each page would cost more than the page."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, int]] = {}

    def of(self, rows: QuerySet[Any]) -> int:
        """Return the number of rows, exact at this moment, or, from LARGE on, a few seconds ago."""
        least = rows.order_by()[:LARGE].count()
        if least < LARGE:
            return least
        name = _name_of(rows)
        known = self._known.get(name)
        if known is None or known[0] <= self._clock():
            if len(self._known) >= MOST_TOTALS:
                self._known.clear()
            known = self._known[name] = (self._clock() + TOTAL_FOR_S, rows.count())
        return known[1]


def _ids(rows: QuerySet[Any], start: int, size: int, bookmarks: _Bookmarks) -> list[Any]:
    """Return the ids of a far page, and bookmark where it begins and ends."""
    direction = _direction(rows)
    if direction is None:
        return list(rows.values_list("pk", flat=True)[start : start + size])
    name = _name_of(rows)
    place, before = bookmarks.nearest(name, start)
    rest = rows.filter(**{f"pk__{direction}": before}) if place else rows
    skipped = start - place
    led = min(skipped, 1)
    ids = list(rest.values_list("pk", flat=True)[skipped - led : skipped + size])
    for at, found in ((start, ids[:led]), (start + size, ids[led + size - 1 :])):
        if found:
            bookmarks.note(name, at, found[0])
    return ids[led:]


class ListPagination(BasePagination):
    """Pages of `{object: "list", total, data}`."""

    total = 0
    totals = _Totals()
    bookmarks = _Bookmarks()

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the rows of the page that the query asks for; raise Invalid for a page that cannot be."""
        size = min(_number(request.query_params, ("page_size", "pageSize"), DEFAULT_SIZE, 1), MAX_SIZE)
        page = _number(request.query_params, ("current_page", "currentPage"), 0, 0)
        if page > MAX_PAGE:
            raise Invalid(f"current_page must be at most {MAX_PAGE}")
        self.total = self.totals.of(queryset)
        return self._rows(queryset, page * size, size) if self.total else []

    def _rows(self, rows: QuerySet[Any], start: int, size: int) -> list[Any]:
        """Return `size` rows from `start` on; far down a list, the database passes over ids, not over whole rows."""
        if start < FAR:
            return list(rows[start : start + size])
        ids = _ids(rows, start, size, self.bookmarks)
        found = {row.pk: row for row in rows.filter(pk__in=ids)}
        return [found[each] for each in ids if each in found]

    def get_paginated_response(self, data: Any) -> Response:
        """Return the answer for one page."""
        return Response({"object": "list", "total": self.total, "data": data, "success": True})
