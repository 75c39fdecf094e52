"""How do people of this organisation sign in?  Rules, identity provider and domains: owners change them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from rest_framework.exceptions import APIException

from control_plane.core.principal import Principal
from control_plane.core.tenancy import visible_to
from control_plane.orgs import domains
from control_plane.orgs.models import TOKEN_AUTH_METHODS, Domain
from control_plane.orgs.oidc import redirect_uri
from control_plane.orgs.people import is_owner
from control_plane.orgs.sign_in_rules import rules_json, rules_of, set_rules
from control_plane.orgs.sso import provider_json, provider_of, set_provider
from control_plane.orgs.sso import remove_provider as drop_provider
from control_plane.ui.pages import PEOPLE, page, refuse, show
from shared.ids import parse_uuid
from shared.redact import Secret

_NOT_ALLOWED = "Your role does not show how people sign in. Ask an owner or admin."


class RulesForm(forms.Form):
    """What is demanded."""

    require_second_factor = forms.BooleanField(
        label="Demand a second factor of everyone",
        required=False,
        help_text="Who has none sets one up before going on. Single sign-on counts as one.",
    )
    sso_only = forms.BooleanField(
        label="Single sign-on only",
        required=False,
        help_text="Nobody of your verified domains signs in by password, save owners.",
    )
    disable_auto_provision_user = forms.BooleanField(
        label="By invite only",
        required=False,
        help_text="Single sign-on lets in members and invited people, and makes nobody a member by itself.",
    )


class SecretArea(forms.Textarea):
    """A field for a secret of several lines; what was typed is never sent back."""

    def format_value(self, value: Any) -> str | None:
        """Return nothing."""
        return None


class ProviderForm(forms.Form):
    """An OpenID provider."""

    issuer = forms.CharField(
        label="Issuer", max_length=500, help_text="Such as https://login.example.com; its discovery document is read."
    )
    client_id = forms.CharField(
        label="Client ID", max_length=255, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    client_secret = forms.CharField(
        label="Client secret, or private key in PEM",
        required=False,
        strip=True,
        max_length=20_000,
        widget=SecretArea(attrs={"autocomplete": "off", "rows": 3, "spellcheck": "false"}),
        help_text="Never shown again. Left empty, the one that is set stays.",
    )
    token_endpoint_auth_method = forms.ChoiceField(label="How the secret is sent", choices=TOKEN_AUTH_METHODS)
    is_enabled = forms.BooleanField(label="Let people sign in by it", required=False)


class DomainForm(forms.Form):
    """A domain to claim."""

    name = forms.CharField(label="Domain", max_length=253, widget=forms.TextInput(attrs={"autocomplete": "off"}))


def _rules_page(
    request: HttpRequest, principal: Principal, *, domain_form: forms.Form | None = None, status: int = 200
) -> HttpResponse:
    rows = visible_to(Domain.objects.all(), principal)
    facts: dict[str, Any] = {
        "rules": rules_of(principal.organisation_id),
        "provider": provider_of(principal.organisation_id),
        "domains": [(row, *domains.record_of(row)) for row in rows],
        "domain_form": domain_form or DomainForm(),
        "redirect_uri": redirect_uri(),
        "is_owner": is_owner(principal),
    }
    return show(request, principal, "ui/sign_in_rules.html", facts, status=status)


@require_safe
@page(PEOPLE)
def show_rules(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Show rules, provider and domains."""
    if not principal.allows("organisation_settings.read"):
        return refuse(request, _NOT_ALLOWED)
    return _rules_page(request, principal)


@require_http_methods(["GET", "HEAD", "POST"])
@page(PEOPLE)
def change_rules(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Change what is demanded."""
    if not is_owner(principal):
        return refuse(request, "Only an owner can change how people sign in.")
    initial = rules_json(rules_of(principal.organisation_id))
    form = RulesForm(request.POST if request.method == "POST" else None, initial=initial)
    status = 200
    if form.is_valid():
        try:
            set_rules(principal, form.cleaned_data)
        except APIException as fault:
            form.add_error(None, str(fault.detail))
            status = fault.status_code
        else:
            messages.success(request, "The rules are changed.")
            return redirect("sign-in-rules")
    return show(request, principal, "ui/sign_in_rules_change.html", {"form": form}, status=status)


@sensitive_post_parameters("client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
@page(PEOPLE)
def change_provider(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Set the identity provider."""
    if not is_owner(principal):
        return refuse(request, "Only an owner can change how people sign in.")
    provider = provider_of(principal.organisation_id)
    initial = provider_json(provider) if provider else {"is_enabled": True}
    form = ProviderForm(request.POST if request.method == "POST" else None, initial=initial)
    status = 400 if form.errors else 200
    if form.is_valid():
        given = dict(form.cleaned_data)
        secret = given.pop("client_secret")
        try:
            set_provider(principal, given, Secret(secret) if secret else None)
        except APIException as fault:
            form.add_error(None, str(fault.detail))
            status = fault.status_code
        else:
            messages.success(request, "The identity provider is set.")
            return redirect("sign-in-rules")
    facts = {"form": form, "redirect_uri": redirect_uri()}
    return show(request, principal, "ui/identity_provider.html", facts, status=status)


@require_POST
@page(PEOPLE)
def remove_provider(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Take the identity provider away."""
    try:
        drop_provider(principal)
    except APIException as fault:
        return refuse(request, str(fault.detail), status=fault.status_code)
    messages.success(request, "The identity provider is removed.")
    return redirect("sign-in-rules")


@require_POST
@page(PEOPLE)
def add_domain(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Claim a domain."""
    form = DomainForm(request.POST)
    status = 400
    if form.is_valid():
        try:
            domains.claim_domain(principal, form.cleaned_data["name"])
        except APIException as fault:
            form.add_error("name", str(fault.detail))
            status = fault.status_code
        else:
            return redirect("sign-in-rules")
    if not principal.allows("organisation_settings.read"):
        return refuse(request, _NOT_ALLOWED)
    return _rules_page(request, principal, domain_form=form, status=status)


def _domain(principal: Principal, domain_id: str) -> Domain:
    parsed = parse_uuid(domain_id)
    row = visible_to(Domain.objects.all(), principal).filter(pk=parsed).first() if parsed else None
    if row is None:
        raise Http404
    return row


@require_POST
@page(PEOPLE)
def verify(request: HttpRequest, principal: Principal, domain_id: str) -> HttpResponse:
    """Look for the TXT record of a claimed domain."""
    row = _domain(principal, domain_id)
    try:
        domains.verify_domain(principal, row)
    except APIException as fault:
        return refuse(request, str(fault.detail), status=fault.status_code)
    messages.success(request, f"{row.name} is verified.")
    return redirect("sign-in-rules")


@require_POST
@page(PEOPLE)
def remove_domain(request: HttpRequest, principal: Principal, domain_id: str) -> HttpResponse:
    """Give a domain up."""
    row = _domain(principal, domain_id)
    try:
        domains.remove_domain(principal, row)
    except APIException as fault:
        return refuse(request, str(fault.detail), status=fault.status_code)
    messages.success(request, f"{row.name} is removed.")
    return redirect("sign-in-rules")
