"""Which request was this?  Ids of every answer, in its headers, in every log event and in the audit trail.

The ids are ours: clients of gateways repeat their own trace ids on admin calls, and a trail must not hold what a
caller chose.  SDKs repeat a failed call that answers without these headers.
"""

from collections.abc import Callable
from typing import Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from control_plane.core.audit import CURRENT_BODY, CURRENT_CALL, CallFacts
from control_plane.core.errors import API_PREFIX
from shared.client_address import Network, client_address
from shared.ids import uuid7

TRACE_HEADER: Final = "x-portkey-trace-id"
REQUEST_HEADER: Final = "x-portkey-request-id"


class RequestIds:
    """Gives each answer its two id headers, and the audit trail what it says of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._proxies: tuple[Network, ...] = settings.TRUSTED_PROXIES

    def _client_ip(self, request: HttpRequest) -> str | None:
        peer, forwarded = str(request.META.get("REMOTE_ADDR", "")), request.headers.get("x-forwarded-for", "")
        address = client_address(peer, forwarded, self._proxies)
        return str(address) if address else None

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request."""
        request_id = str(uuid7())
        address = self._client_ip(request)
        # Addresses of pages may hold a one-time token.
        is_api = request.path.startswith(API_PREFIX)
        facts = CallFacts(
            request_id,
            address,
            request.method or "",
            request.path if is_api else "",
            request.META.get("QUERY_STRING", "") if is_api else "",
            request.headers.get("user-agent", ""),
        )
        token, body = CURRENT_CALL.set(facts), CURRENT_BODY.set(None)
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = self._get_response(request)
        finally:
            CURRENT_CALL.reset(token)
            CURRENT_BODY.reset(body)
        response.headers[TRACE_HEADER] = request_id
        response.headers[REQUEST_HEADER] = request_id
        return response
