"""Lists in pages: `current_page` from 0, `page_size` of 1 to 1000; SDKs write both in camel case too."""

from collections.abc import Mapping
from typing import Any, Final

from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.errors import Invalid

DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 1000
#: Keeps the offset within what the database counts.
MAX_PAGE: Final = 1_000_000


def _number(query: Mapping[str, str], names: tuple[str, str], default: int, least: int) -> int:
    given = next((query[name] for name in names if query.get(name)), None)
    if given is None:
        return default
    if not given.isascii() or not given.isdecimal() or len(given) > 9 or int(given) < least:
        raise Invalid(f"{names[0]} must be a whole number, at least {least}")
    return int(given)


class ListPagination(BasePagination):
    """Pages of `{object: "list", total, data}`."""

    total = 0

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the rows of the page that the query asks for; raise Invalid for a page that cannot be."""
        size = min(_number(request.query_params, ("page_size", "pageSize"), DEFAULT_SIZE, 1), MAX_SIZE)
        page = _number(request.query_params, ("current_page", "currentPage"), 0, 0)
        if page > MAX_PAGE:
            raise Invalid(f"current_page must be at most {MAX_PAGE}")
        self.total = queryset.count()
        return list(queryset[page * size : (page + 1) * size])

    def get_paginated_response(self, data: Any) -> Response:
        """Return the answer for one page."""
        return Response({"object": "list", "total": self.total, "data": data, "success": True})
