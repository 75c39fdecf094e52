"""Settings of an organisation as the Admin API reads them."""

from typing import Any

from rest_framework import serializers

from control_plane.orgs.models import TOKEN_AUTH_METHODS


class TokenKeysSerializer(serializers.Serializer[Any]):
    """The keys of tokens: a JSON Web Key Set, or where one is published."""

    jwks_uri = serializers.CharField(required=False, allow_null=True, max_length=2048)
    jwks = serializers.JSONField(required=False, allow_null=True)


class SignInRulesSerializer(serializers.Serializer[Any]):
    """What is demanded of sign-ins; what is not named stays."""

    require_second_factor = serializers.BooleanField(required=False)
    sso_only = serializers.BooleanField(required=False)
    disable_auto_provision_user = serializers.BooleanField(required=False)


class IdentityProviderSerializer(serializers.Serializer[Any]):
    """An OpenID provider."""

    issuer = serializers.CharField(max_length=500)
    client_id = serializers.CharField(max_length=255)
    # A private key has several lines, so it is no CredentialField.
    client_secret = serializers.CharField(required=False, allow_null=True, write_only=True, max_length=20_000)
    token_endpoint_auth_method = serializers.ChoiceField(choices=TOKEN_AUTH_METHODS, default="client_secret_basic")
    is_enabled = serializers.BooleanField(default=True)


class DomainSerializer(serializers.Serializer[Any]):
    """A domain to claim."""

    name = serializers.CharField(max_length=253)
