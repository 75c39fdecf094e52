"""How does a person come in through their organisation's provider?  Away with a state, back with a code."""

import hmac
import time
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_safe

from control_plane.accounts import sign_ins
from control_plane.core.errors import Denied
from control_plane.orgs.models import IdentityProvider
from control_plane.orgs.oidc import Errand, NotVouched, authorization_url, discover, new_errand, redeem
from control_plane.orgs.sso import arrive
from control_plane.ui.invite_pages import welcome
from control_plane.ui.pages import refuse
from control_plane.ui.sign_in import local_path

_SESSION_KEY: Final = "sso"
#: How long somebody may take at the provider.
ERRAND_S: Final = 900
NO_PROVIDER: Final = "This organisation has no single sign-on."
PROVIDER_AWAY: Final = "Your organisation's provider cannot be used at present. Try again later, or tell an owner."
NOT_OURS: Final = "This sign-in was not begun in this browser, or too long ago. Begin again."
REFUSED_THERE: Final = "Your organisation's provider did not sign you in."

log = structlog.get_logger(module=__name__)


def _provider(**wanted: Any) -> IdentityProvider | None:
    rows = IdentityProvider.objects.filter(is_enabled=True, organisation__status="active")
    return rows.filter(**wanted).first()


@never_cache
@require_safe
def start(request: HttpRequest, organisation_id: UUID) -> HttpResponse:
    """Send the browser to the provider."""
    provider = _provider(organisation_id=organisation_id)
    if provider is None:
        return refuse(request, NO_PROVIDER, status=404)
    try:
        endpoints = discover(provider.issuer)
    except NotVouched as fault:
        log.warning("provider_failed", organisation=str(organisation_id), reason=str(fault))
        return refuse(request, PROVIDER_AWAY, status=502)
    errand = new_errand()
    request.session[_SESSION_KEY] = {
        **asdict(errand),
        "provider": str(provider.pk),
        "next": local_path(request.GET.get("next")),
        "at": time.time(),
    }
    hint = request.GET.get("hint", "")[:254]
    return HttpResponseRedirect(authorization_url(provider, endpoints, errand, hint))


def _taken(request: HttpRequest) -> dict[str, Any] | None:
    """Return what this browser was sent away with, once; None when the state is another's or too old."""
    kept = request.session.pop(_SESSION_KEY, None)
    if not isinstance(kept, dict) or time.time() - float(kept["at"]) > ERRAND_S:
        return None
    state = request.GET.get("state", "")
    return kept if hmac.compare_digest(state.encode(errors="replace"), str(kept["state"]).encode()) else None


@sensitive_variables("kept", "errand")
@never_cache
@require_safe
def callback(request: HttpRequest) -> HttpResponse:
    """Take the person back from the provider, and sign them in to its organisation."""
    kept = _taken(request)
    provider = _provider(pk=kept["provider"]) if kept else None
    if kept is None or provider is None:
        return refuse(request, NOT_OURS, status=400)
    issuer = request.GET.get("iss", provider.issuer)
    code = request.GET.get("code", "")
    if not code or issuer != provider.issuer:
        return refuse(request, REFUSED_THERE)
    errand = Errand(kept["state"], kept["nonce"], kept["verifier"])
    try:
        claims = redeem(provider, discover(provider.issuer), code, errand)
        arrival = arrive(provider, claims)
    except NotVouched as fault:
        log.warning("provider_failed", organisation=str(provider.organisation_id), reason=str(fault))
        return refuse(request, REFUSED_THERE)
    except Denied as fault:
        return refuse(request, str(fault.detail))
    sign_ins.begin(request, arrival.user, sign_ins.SSO, organisation_id=provider.organisation_id)
    if arrival.invite is not None and arrival.made:
        return welcome(request, arrival.invite, arrival.made)
    return redirect(kept["next"])
