"""Which gateways serve this organisation, and does each of them run the newest configuration?"""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from control_plane.core.principal import Principal
from control_plane.gateways.services import gateway_overview
from control_plane.ui.pages import GATEWAYS, page, show


@require_safe
@page(GATEWAYS)
def list_gateways(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Show the gateway groups and what their instances last said of themselves."""
    return show(request, principal, "ui/gateways.html", {"groups": gateway_overview(principal)})
