"""Does the sign-in that a browser's cookie stands for still hold?"""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponseBase

from control_plane.accounts import sign_ins


class SignIns:
    """Makes a browser whose sign-in was ended elsewhere a stranger; stands behind Django's authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request; without a session cookie nothing is looked up."""
        if (
            settings.SESSION_COOKIE_NAME in request.COOKIES
            and request.user.is_authenticated
            and not sign_ins.check(request)
        ):
            logout(request)
        return self._get_response(request)
