"""Which keys are there?  Make one, whose text is shown once, and revoke one."""

from typing import Any, Final
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from control_plane.catalog.access import with_access
from control_plane.catalog.models import VirtualKey
from control_plane.core.principal import Principal
from control_plane.core.scopes import KEY_TYPES, WORKSPACE_SERVICE_KEY, scope_prefix
from control_plane.core.tenancy import visible_to
from control_plane.keys.models import ApiKey
from control_plane.keys.services import create_workspace_key, delete_api_key, find_by_text, is_text_of
from control_plane.orgs.models import Workspace
from control_plane.ui.pages import KEYS, page, refusal_of, refuse, show
from shared.ids import parse_uuid
from shared.redact import Secret

#: More than people read; the Admin API lists them all.
MOST_SHOWN: Final = 200
_CREATE: Final = f"{scope_prefix(WORKSPACE_SERVICE_KEY)}.create"
TYPE_TITLES: Final = {
    "organisation-service": "Organisation, service",
    "workspace-service": "Workspace, service",
    "workspace-user": "Workspace, user",
}


class KeyForm(forms.Form):
    """A new workspace key."""

    name = forms.CharField(label="Name", max_length=255, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    workspace = forms.ChoiceField(label="Workspace")

    def __init__(self, workspaces: list[Workspace], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["workspace"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [(str(each.pk), each.name) for each in workspaces]


class FindForm(forms.Form):
    """A text that may be a key; it is never sent back."""

    text = forms.CharField(
        label="API key",
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="As it was found. It is compared here and kept nowhere.",
    )


def _may(principal: Principal, key_type: str, verb: str, workspace_id: UUID | None = None) -> bool:
    return principal.allows(f"{scope_prefix(key_type)}.{verb}", workspace_id)


def _listed(principal: Principal, types: list[str]) -> QuerySet[ApiKey]:
    """Return the keys of each type in the workspaces whose keys of that type the person may list."""
    rows = ApiKey.objects.none()
    for name in types:
        rows |= visible_to(ApiKey.objects.filter(type=name), principal, {f"{scope_prefix(name)}.list"})
    return rows


def _workspaces(principal: Principal) -> list[Workspace]:
    return list(visible_to(Workspace.objects.all(), principal, {_CREATE}))


@require_safe
@page(KEYS)
def list_keys(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Show API keys and virtual keys, the newest first; the texts of both are masked."""
    types = [name for name in KEY_TYPES if _may(principal, name, "list")]
    api_keys = _listed(principal, types).select_related("workspace")
    rows = with_access(VirtualKey.objects.select_related("integration", "workspace"))
    virtual_keys = visible_to(rows, principal, {"virtual_keys.list"})
    if not principal.allows("virtual_keys.list"):
        virtual_keys = virtual_keys.none()
    facts = {
        "api_keys": [
            (row, TYPE_TITLES[row.type], _may(principal, row.type, "delete", row.workspace_id))
            for row in api_keys.order_by("-id")[:MOST_SHOWN]
        ],
        "virtual_keys": virtual_keys.order_by("-id")[:MOST_SHOWN],
        "may_list_api_keys": bool(types),
        "may_create": principal.allows(_CREATE),
        "most_shown": MOST_SHOWN,
    }
    return show(request, principal, "ui/keys.html", facts)


@require_http_methods(["GET", "HEAD", "POST"])
@page(KEYS)
def create_key(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Make a workspace key and show its text, in the answer itself: it is kept nowhere, so no later page could."""
    if not principal.allows(_CREATE):
        return refuse(request, refusal_of(principal, _CREATE, "making API keys"))
    workspaces = _workspaces(principal)
    form = KeyForm(workspaces, request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return show(request, principal, "ui/key_form.html", {"form": form}, status=400 if form.errors else 200)
    wanted = UUID(form.cleaned_data["workspace"])
    workspace = next(each for each in workspaces if each.pk == wanted)
    made = create_workspace_key(principal, workspace, form.cleaned_data["name"])
    facts = {
        "row": made.row,
        "workspace": workspace,
        "text": made.shown_once(),
        "gateway_url": settings.GATEWAY_URL,
    }
    return show(request, principal, "ui/key_made.html", facts)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("text")
@page(KEYS)
def find_key(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Say which key a pasted text is, so that what was found in a leak can be revoked; the text is not shown again."""
    form = FindForm(request.POST if request.method == "POST" else None)
    facts: dict[str, Any] = {"form": form}
    if form.is_valid():
        text = Secret(form.cleaned_data["text"])
        found = find_by_text(text)
        types = [name for name in KEY_TYPES if _may(principal, name, "list")]
        row = _listed(principal, types).select_related("workspace").filter(pk=found.pk).first() if found else None
        facts |= {"is_asked": True, "row": row}
        if row is not None:
            facts |= {
                "type_title": TYPE_TITLES[row.type],
                "is_current": is_text_of(row, text),
                "may_revoke": _may(principal, row.type, "delete", row.workspace_id),
            }
    return show(request, principal, "ui/key_find.html", facts, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@page(KEYS)
def revoke_key(request: HttpRequest, principal: Principal, key_id: str) -> HttpResponse:
    """Ask whether to revoke a key, then do it."""
    row_id = parse_uuid(key_id)
    row = visible_to(ApiKey.objects.all(), principal).filter(pk=row_id).first() if row_id else None
    if row is None:
        raise Http404
    scope = f"{scope_prefix(row.type)}.delete"
    if not principal.allows(scope, row.workspace_id):
        return refuse(request, refusal_of(principal, scope, "revoking this API key", row.workspace_id))
    if request.method != "POST":
        return show(request, principal, "ui/key_revoke.html", {"row": row, "type_title": TYPE_TITLES[row.type]})
    delete_api_key(principal, row)
    messages.success(request, f"The API key “{row.name}” is revoked.")
    return redirect("keys")
