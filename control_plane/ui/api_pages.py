"""What can be called from outside?  The operations of the Admin API, for people to read."""

from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from control_plane.core.openapi import operations
from control_plane.core.principal import Principal
from control_plane.ui.pages import API, page, show


@require_safe
@page(API)
def list_operations(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Show every operation with what it does and the scopes that allow it."""
    listed = sorted(operations(), key=lambda operation: operation.tag)
    groups = [
        {
            "name": tag,
            "id": tag.replace("/", "-"),
            "operations": [
                {
                    "method": operation.method.upper(),
                    "path": f"/v1{operation.path}",
                    "summary": operation.summary,
                    "scopes": operation.scopes,
                    "is_allowed": any(principal.allows(scope) for scope in operation.scopes),
                }
                for operation in found
            ],
        }
        for tag, found in groupby(listed, key=lambda operation: operation.tag)
    ]
    return show(request, principal, "ui/api.html", {"groups": groups})
