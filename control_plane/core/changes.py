"""What does every change of the Admin API share?  One transaction, `If-Match`, and `Idempotency-Key`.

The kit sends each call that changes something through `serve`, so that no viewset can forget it.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from django.db import transaction
from django.db.models import Model
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.errors import Stale
from control_plane.core.idempotency import KEY_HEADER, once
from control_plane.core.principal import principal_of

MATCH_HEADER: Final = "if-match"


def version_of(row: Model, parts: tuple[str, ...] = ()) -> str:
    """Return a row's entity tag; `parts` names relations whose change is a change of the row as callers see it.

    A row that does not know when it changed is told by all its columns.
    """
    told = []
    for each in (row, *(getattr(row, name) for name in parts)):
        changed_at = getattr(each, "last_updated_at", None)
        fields = each._meta.concrete_fields  # noqa: SLF001 -- Django's documented way to a model's columns
        told.append(changed_at.isoformat() if changed_at else [str(getattr(each, field.attname)) for field in fields])
    digest = hashlib.sha256(repr((row._meta.label_lower, str(row.pk), told)).encode())  # noqa: SLF001 -- as above
    return f'"{digest.hexdigest()[:32]}"'


def _demand_match(view: Any, wanted: str) -> None:
    """Raise Stale unless the row that the path names is of a wanted version; it stays so until the change is done."""
    row = view.get_object()
    type(row).objects.select_for_update().filter(pk=row.pk).first()
    tags = {tag.strip() for tag in wanted.split(",")}
    if "*" not in tags and view.version_of(view.get_object()) not in tags:
        raise Stale


def serve(view: Any, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any) -> Response:
    """Answer a change by `handler`, in one transaction that an exception undoes."""

    def act() -> Response:
        wanted = request.headers.get(MATCH_HEADER)
        if wanted is not None and view.detail:
            _demand_match(view, wanted)
        return handler(request, *args, **kwargs)

    with transaction.atomic():
        key = request.headers.get(KEY_HEADER)
        if request.method == "POST" and key is not None:
            return once(principal_of(request), request, key, act)
        return act()
