"""What does every page of a signed-in person share?  Who they are, what they may see, and how it is shown.

A page asks for the scope that the Admin API would ask for: what a role cannot do by API it cannot do here.  Nothing is
kept by browsers or proxies, because a shared computer's "back" must not show what the last person saw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from control_plane.accounts.models import User
from control_plane.core.principal import Principal
from control_plane.core.scopes import ALL_SCOPES
from control_plane.orgs.authentication import lacks_second_factor, principal_of_browser
from control_plane.orgs.models import Organisation

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
PageView = Callable[Concatenate[HttpRequest, Principal, P], HttpResponse]


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation; `scopes`: any of them opens it."""

    name: str
    title: str
    scopes: frozenset[str]


LOGS: Final = Place("logs", "Logs", frozenset({"logs.view", "logs.list"}))
GATEWAYS: Final = Place("gateways", "Gateways", frozenset({"deployments.list"}))
KEYS: Final = Place(
    "keys", "Keys", frozenset({"virtual_keys.list", "workspace_service_api_keys.list", "workspace_user_api_keys.list"})
)
BUDGETS: Final = Place("budgets", "Budgets & limits", frozenset({"policies.list"}))
PEOPLE: Final = Place("people", "People", frozenset({"organisation_users.list"}))
#: Whoever is signed in may read what can be called.
API: Final = Place("api", "API", ALL_SCOPES)
PLACES: Final = (LOGS, GATEWAYS, KEYS, BUDGETS, PEOPLE, API)


def may_open(principal: Principal, place: Place) -> bool:
    """Return whether the principal has one of the scopes that open a page."""
    return any(principal.allows(scope) for scope in place.scopes)


def show(
    request: HttpRequest, principal: Principal | None, template: str, facts: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Return a page within the frame of a signed-in person; `principal` is None for one of no organisation."""
    frame: dict[str, Any] = {}
    if principal is not None:
        frame = {
            "organisation": Organisation.objects.get(pk=principal.organisation_id),
            "places": [place for place in PLACES if may_open(principal, place)],
            # Pages below a place, such as one log, belong to it.
            "here": request.path.split("/")[1],
        }
    return render(request, template, {**frame, **facts}, status=status)


def refuse(request: HttpRequest, sentence: str, *, status: int = 403) -> HttpResponse:
    """Return a page that says why there is nothing else to see."""
    return render(request, "ui/refusal.html", {"sentence": sentence}, status=status)


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Send a stranger to sign in and come back."""
    return redirect(f"/login?{urlencode({'next': request.get_full_path()})}")


def refusal_of(principal: Principal, scope: str, what: str, workspace_id: UUID | None = None) -> str:
    """Return the sentence that tells a person why they may not do something, and whom to ask."""
    told = principal.why_not(scope, workspace_id)
    return f"Your role does not allow {what}: {told.rule}. Ask {told.changed_by}."


def page(place: Place) -> Callable[[PageView[P]], View[P]]:
    """Make a view the page of a signed-in person who may open `place`; it is given their principal.

    Others are sent to sign in and come back; those whose role does not suffice are told so; those who lack a second
    factor that their organisation demands are sent to get one.
    """

    def wrap(view: PageView[P]) -> View[P]:
        @wraps(view)
        def opened(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not isinstance(request.user, User):
                return to_sign_in(request)
            principal = principal_of_browser(request, request.user)
            if principal is None:
                return refuse(request, "You belong to no organisation. Ask an owner of yours to add you.")
            if lacks_second_factor(request, request.user, principal):
                return redirect("second-factor")
            if not may_open(principal, place):
                return refuse(request, refusal_of(principal, min(place.scopes), place.title.lower()))
            return view(request, principal, *args, **kwargs)

        return never_cache(opened)

    return wrap


def personal(view: Callable[Concatenate[HttpRequest, User, P], HttpResponse]) -> View[P]:
    """Make a view a page about the signed-in person's own account, which asks for no role; it is given the person."""

    @wraps(view)
    def opened(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not isinstance(request.user, User):
            return to_sign_in(request)
        return view(request, request.user, *args, **kwargs)

    return never_cache(opened)
