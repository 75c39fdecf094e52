"""Which request was this?  Ids of every answer, in its headers, in every log event and in the audit trail.

The ids are ours: clients of gateways repeat their own trace ids on admin calls, and a trail must not hold what a
caller chose.  SDKs repeat a failed call that answers without these headers.
"""

from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest, HttpResponseBase

from control_plane.core.audit import CURRENT_CALL, CallFacts
from control_plane.core.errors import API_PREFIX
from shared.hosts import parse_address
from shared.ids import uuid7

TRACE_HEADER: Final = "x-portkey-trace-id"
REQUEST_HEADER: Final = "x-portkey-request-id"


class RequestIds:
    """Gives each answer its two id headers, and the audit trail what it says of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request."""
        request_id = str(uuid7())
        address = parse_address(str(request.META.get("REMOTE_ADDR", "")))
        # Paths of pages may hold a one-time token.
        uri = request.path if request.path.startswith(API_PREFIX) else ""
        facts = CallFacts(request_id, str(address) if address else None, request.method or "", uri)
        token = CURRENT_CALL.set(facts)
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = self._get_response(request)
        finally:
            CURRENT_CALL.reset(token)
        response.headers[TRACE_HEADER] = request_id
        response.headers[REQUEST_HEADER] = request_id
        return response
