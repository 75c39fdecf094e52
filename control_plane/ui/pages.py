"""What does every page of a signed-in person share?  Who they are, what they may see, and how it is shown.

A page asks for the scope that the Admin API would ask for: what a role cannot do by API it cannot do here.  Nothing is
kept by browsers or proxies, because a shared computer's "back" must not show what the last person saw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from control_plane.accounts.models import User
from control_plane.core.principal import Principal
from control_plane.orgs.models import Organisation
from control_plane.orgs.services import principal_of_user

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
PLACES: Final = (LOGS, GATEWAYS, KEYS)


def may_open(principal: Principal, place: Place) -> bool:
    """Return whether the principal has one of the scopes that open a page."""
    return any(principal.allows(scope) for scope in place.scopes)


def show(
    request: HttpRequest, principal: Principal, template: str, facts: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Return a page within the frame of a signed-in person."""
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


def page(place: Place) -> Callable[[PageView[P]], View[P]]:
    """Make a view the page of a signed-in person who may open `place`; it is given their principal.

    Others are sent to sign in and come back; those whose role does not suffice are told so.
    """

    def wrap(view: PageView[P]) -> View[P]:
        @wraps(view)
        def opened(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not isinstance(request.user, User):
                return redirect(f"/login?{urlencode({'next': request.get_full_path()})}")
            principal = principal_of_user(request.user)
            if principal is None:
                return refuse(request, "You belong to no organisation. Ask an owner of yours to add you.")
            if not may_open(principal, place):
                return refuse(request, f"Your role does not allow {place.title.lower()}. Ask an owner or admin.")
            return view(request, principal, *args, **kwargs)

        return never_cache(opened)

    return wrap
