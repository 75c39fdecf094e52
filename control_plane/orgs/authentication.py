"""What is a signed-in person who calls, by page or by the Admin API?  A sign-in may reach one organisation only."""

from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from control_plane.accounts import sign_ins
from control_plane.accounts.models import User
from control_plane.accounts.second_factor import factor_of
from control_plane.core.errors import Denied
from control_plane.core.principal import Principal
from control_plane.orgs.services import principal_of_user
from control_plane.orgs.sign_in_rules import rules_of


def principal_of_browser(request: HttpRequest, user: User) -> Principal | None:
    """Return what a signed-in person is here: a sign-in by an organisation's provider reaches that one only."""
    row = sign_ins.current(request)
    return principal_of_user(user, row.organisation_id if row else None)


def lacks_second_factor(request: HttpRequest, user: User, principal: Principal) -> bool:
    """Return whether the organisation demands a second factor of this sign-in that the person does not have."""
    row = sign_ins.current(request)
    if row is not None and row.method in {sign_ins.CODE, sign_ins.SSO}:
        return False
    return rules_of(principal.organisation_id).require_second_factor and factor_of(user) is None


class SignedInAuthentication(SessionAuthentication):
    """Gives requests of a signed-in browser the person's principal; changes need the token against forged requests."""

    def authenticate(self, request: Request) -> tuple[Principal, Principal] | None:
        """Return the principal twice, None for a stranger.

        Raises PermissionDenied for a forged request, Denied for who belongs to no organisation or lacks a factor.
        """
        call = request._request  # noqa: SLF001 -- DRF's documented way to the request that it wraps
        user = call.user
        if not isinstance(user, User) or not user.is_active:
            return None
        self.enforce_csrf(request)
        principal = principal_of_browser(call, user)
        if principal is None:
            raise Denied("You belong to no organisation. Ask an owner of yours to add you.")
        if lacks_second_factor(call, user, principal):
            raise Denied("Your organisation demands a second factor: set one up in your account.")
        return principal, principal
