"""Which address leads where: the Admin API under /v1, pages at the top, health for probes."""

from django.db import connection
from django.db.utils import Error
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.http import require_safe

from control_plane.catalog.public_prices import pricing
from control_plane.core.openapi import document
from control_plane.core.resources import build_router
from shared.version import VERSION


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer that the process runs."""
    return JsonResponse({"status": "success", "version": VERSION})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer whether the database can be reached."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return JsonResponse({"status": "failure", "message": "the database cannot be reached"}, status=503)
    return JsonResponse({"status": "success", "version": VERSION})


@require_safe
def openapi(request: HttpRequest) -> JsonResponse:
    """Answer what the Admin API offers, as an OpenAPI document."""
    return JsonResponse(document())


urlpatterns = [
    path("healthz", live),
    path("readyz", ready),
    path("v1/openapi.json", openapi),
    path("v1/model-configs/pricing/<str:provider>/<path:model>", pricing),
    path("v1/", include(build_router().urls)),
    path("", include("control_plane.ui.urls")),
]

handler400 = "control_plane.core.errors.bad_request"
handler404 = "control_plane.core.errors.not_found"
handler500 = "control_plane.core.errors.server_error"
