"""How the organisation's people and programs prove who they are, and which roles there are, in the Admin API."""

from typing import Any, ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.errors import Missing
from control_plane.core.fields import iso
from control_plane.core.resources import Json, OrganisationViewSet, ReadOnlyViewSet, SingleViewSet, resource
from control_plane.orgs import domains, sso, token_keys
from control_plane.orgs.models import Domain, IdentityProvider, Organisation, Role, SignInRules, TokenKeys
from control_plane.orgs.oidc import redirect_uri
from control_plane.orgs.roles import create_role, delete_role, matrix, role_json, update_role
from control_plane.orgs.serializers import RoleSerializer
from control_plane.orgs.settings_serializers import (
    DomainSerializer,
    IdentityProviderSerializer,
    SignInRulesSerializer,
    TokenKeysSerializer,
)
from control_plane.orgs.sign_in_rules import rules_json, rules_of, set_rules
from shared.redact import Secret


@resource("admin/organisation/jwks", scope="organisation_settings")
class TokenKeysViewSet(SingleViewSet):
    """The keys that sign tokens (JWT) in the place of API keys."""

    queryset = TokenKeys.objects.all()
    serializer_class = TokenKeysSerializer
    refused: ClassVar[frozenset[str]] = frozenset()
    may_miss: ClassVar[frozenset[str]] = frozenset({"clear", "refresh"})
    verbs: ClassVar[dict[str, str]] = {**SingleViewSet.verbs, "refresh": "update"}

    def show(self) -> Json:
        """Return the keys, and where they are published."""
        return token_keys.token_keys_json(token_keys.token_keys_of(self.principal.organisation_id))

    def set(self, given: Json) -> Json:
        """Set the keys, or where they are published."""
        return token_keys.token_keys_json(token_keys.set_token_keys(self.principal, given))

    def unset(self) -> Json:
        """Take the keys away: no token is good any more."""
        token_keys.remove_token_keys(self.principal)
        return self.show()

    @action(detail=False, methods=["post"])
    def refresh(self, _request: Request) -> Response:
        """Read the published keys again, now."""
        row = token_keys.token_keys_of(self.principal.organisation_id)
        if row is None or not row.uri:
            raise Missing("The organisation publishes no keys.")
        return Response(token_keys.token_keys_json(token_keys.refresh(row)))


@resource("admin/organisation/sign-in-rules", scope="organisation_settings")
class SignInRulesViewSet(SingleViewSet):
    """What is demanded of people's sign-ins; an owner says so."""

    queryset = SignInRules.objects.all()
    serializer_class = SignInRulesSerializer

    def show(self) -> Json:
        """Return the rules."""
        return {**rules_json(rules_of(self.principal.organisation_id)), "object": "sign-in-rules"}

    def set(self, given: Json) -> Json:
        """Change the rules that the body names."""
        set_rules(self.principal, given)
        return self.show()


@resource("admin/organisation/identity-provider", scope="organisation_settings")
class IdentityProviderViewSet(SingleViewSet):
    """The OpenID provider by which people sign in; an owner says which."""

    queryset = IdentityProvider.objects.all()
    serializer_class = IdentityProviderSerializer
    refused: ClassVar[frozenset[str]] = frozenset()

    def show(self) -> Json:
        """Return the provider without its secret, and where it sends people back to."""
        row = sso.provider_of(self.principal.organisation_id)
        told = sso.provider_json(row) if row is not None else None
        return {"provider": told, "redirect_uri": redirect_uri(), "object": "identity-provider"}

    def set(self, given: Json) -> Json:
        """Set the provider; without a client secret, the one that is set stays."""
        secret = given.pop("client_secret", None)
        sso.set_provider(self.principal, given, Secret(secret) if secret else None)
        return self.show()

    def unset(self) -> Json:
        """Take the provider away."""
        sso.remove_provider(self.principal)
        return self.show()


@resource("admin/organisation/domains", scope="organisation_settings")
class DomainViewSet(ReadOnlyViewSet):
    """Domains of e-mail addresses that the organisation claims; an owner proves them by a DNS record."""

    queryset = Domain.objects.all()
    slug_field: ClassVar[str | None] = "name"
    verbs: ClassVar[dict[str, str]] = {
        "list": "read", "create": "update", "destroy": "update", "verify": "update",
    }  # fmt: skip
    bodies: ClassVar[dict[str, Any]] = {"create": DomainSerializer}

    def show(self, row: Domain) -> Json:
        """Return a domain, and the record that proves it."""
        name, text = domains.record_of(row)
        record = {"type": "TXT", "name": name, "value": text}
        told = {"id": str(row.pk), "name": row.name, "verified_at": iso(row.verified_at), "record": record}
        return {**told, "object": "domain"}

    def create(self, _request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Claim a domain."""
        return Response(self.show(domains.claim_domain(self.principal, self.checked(DomainSerializer)["name"])))

    def destroy(self, _request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Give a domain up."""
        domains.remove_domain(self.principal, self.get_object())
        return Response({})

    @action(detail=True, methods=["post"])
    def verify(self, _request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Look for the record, and note the domain as proven."""
        return Response(self.show(domains.verify_domain(self.principal, self.get_object())))


@resource("admin/roles", scope="organisation_users")
class RoleViewSet(OrganisationViewSet):
    """Roles that the organisation made; people are given them like the built-in ones."""

    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    verbs: ClassVar[dict[str, str]] = {"permissions": "list"}
    example: ClassVar[Json] = {
        "name": "Prompt editor",
        "level": "workspace",
        "scopes": ["prompts.list", "prompts.read", "prompts.update"],
    }
    example_change: ClassVar[Json] = {"name": "Prompt author", "scopes": ["prompts.create", "prompts.list"]}

    def show(self, row: Role) -> Json:
        """Return a role."""
        return role_json(row)

    def make(self, given: Json) -> Json:
        """Make a role."""
        return role_json(create_role(self.principal, given))

    def change(self, row: Role, given: Json) -> Json:
        """Change a role; whoever has it is judged by it from their next call on."""
        return role_json(update_role(self.principal, row, given))

    def remove(self, row: Role) -> Json:
        """Delete a role that nobody has."""
        delete_role(self.principal, row)
        return {}

    @action(detail=False, methods=["get"])
    def permissions(self, _request: Request) -> Response:
        """Answer what each role may do here: the built-in ones as switched, and those that the organisation made."""
        return Response(matrix(Organisation.objects.get(pk=self.principal.organisation_id)))
