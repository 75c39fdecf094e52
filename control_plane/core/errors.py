"""What callers of the Admin API see when something is wrong: one JSON shape, a code, and never an internal.

`{"success": false, "data": {"message", "errorCode"}, "error": {"message", "code"}}`: the first two are the
contract's (`contract.md` 3.5), the third is what SDKs show to their users.

    AB01 400 not valid     AB03 403 not allowed   AB04 500 our fault      AB05 401 no valid key
    AB06 429 too often     AB07 409, 412 conflicts     AB08 404 not found
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from shared.errors import GatewayError

API_PREFIX: Final = "/v1/"
_CODES: Final = {401: "AB05", 403: "AB03", 404: "AB08", 409: "AB07", 412: "AB07", 429: "AB06"}
_TAKEN: Final = "That conflicts with something that exists already."
_FAULT: Final = "Something went wrong."
_AWAY: Final = "The database cannot be reached; try again."
_MISSING: Final = "No such object."

log = structlog.get_logger(module=__name__)


class Invalid(exceptions.APIException):
    """The request cannot be served as it is; `errors` lists every fault when there may be several."""

    status_code = 400
    default_detail = "The request is not valid."

    def __init__(self, message: str, *, errors: list[str] | None = None) -> None:
        super().__init__(message)
        self.errors = errors


class Conflict(exceptions.APIException):
    """The change conflicts with what is there."""

    status_code = 409
    default_detail = _TAKEN


class Stale(exceptions.APIException):
    """What the caller means to change was changed by somebody else since."""

    status_code = 412
    default_detail = "The object was changed meanwhile: read it again."


class Unlike(exceptions.APIException):
    """The call claims to repeat another one, and is not like it."""

    status_code = 422
    default_detail = "The call does not repeat the one that it names."


class TooMany(exceptions.APIException):
    """The caller asks for more than is kept."""

    status_code = 429
    default_detail = "Too many calls."


class Missing(exceptions.APIException):
    """No such object, or none that the caller may know of."""

    status_code = 404
    default_detail = _MISSING


class Denied(exceptions.APIException):
    """The caller may not do this."""

    status_code = 403
    default_detail = "This API key may not do that."


def error_body(status: int, message: str, errors: list[str] | None = None) -> dict[str, Any]:
    """Return the JSON body of an error."""
    code = _CODES.get(status, "AB04" if status >= 500 else "AB01")
    body: dict[str, Any] = {
        "success": False,
        "data": {"message": message, "errorCode": code},
        "error": {"message": message, "code": code, "type": "error", "param": None},
    }
    if errors:
        body["errors"] = errors
    return body


def sentences(detail: object, path: str = "") -> list[str]:
    """Return the faults of a serializer as sentences, each with the path of its field."""
    if isinstance(detail, Mapping):
        return [
            line
            for name, inner in detail.items()
            for line in sentences(inner, path if name == "non_field_errors" else f"{path}.{name}".lstrip("."))
        ]
    if isinstance(detail, list | tuple):
        return [line for inner in detail for line in sentences(inner, path)]
    return [f"{path}: {detail}" if path else str(detail)]


def _known(error: Exception) -> tuple[int, str, list[str] | None] | None:
    """Return status, message and faults of an error that callers may know of."""
    match error:
        case Invalid():
            return error.status_code, str(error.detail), error.errors
        case exceptions.ValidationError():
            lines = sentences(error.detail)
            return 400, " ".join(lines), lines if len(lines) > 1 else None
        case exceptions.APIException():
            return error.status_code, str(error.detail), None
        case GatewayError():
            return error.status, error.message, error.errors
        case Http404():
            return 404, _MISSING, None
        case PermissionDenied():
            return 403, Denied.default_detail, None
        case RequestDataTooBig():
            return 413, "The body is too large.", None
        case IntegrityError():
            return 409, _TAKEN, None
        case OperationalError() | InterfaceError():
            return 503, _AWAY, None
    return None


def answer_exception(error: Exception, context: Mapping[str, Any]) -> Response:
    """Return the answer for whatever an API view raised.

    This is one of the edges where every exception is caught: what is unknown is logged and answered as our fault.
    """
    known = _known(error)
    if known is None or known[0] >= 500:
        log.error("api_call_failed", view=type(context.get("view")).__name__, exc_info=error)
    status, message, errors = known or (500, _FAULT, None)
    response = Response(error_body(status, message, errors), status=status)
    header = getattr(error, "auth_header", None)
    if header:
        response.headers["WWW-Authenticate"] = header
    return response


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(API_PREFIX)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a path that does not exist: JSON for the API, a page for people."""
    if _is_api(request):
        return JsonResponse(error_body(404, "No such route."), status=404)
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django itself refuses: JSON for the API, a page for people."""
    if _is_api(request):
        return JsonResponse(error_body(400, "The request is not valid."), status=400)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a failure of ours: JSON for the API, a page for people."""
    if _is_api(request):
        return JsonResponse(error_body(500, _FAULT), status=500)
    return defaults.server_error(request)
