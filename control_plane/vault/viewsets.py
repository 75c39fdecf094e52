"""Secret references in the Admin API."""

from typing import Any, ClassVar, Final

import orjson
from django.db.models import QuerySet

from control_plane.core.errors import Invalid
from control_plane.core.resources import Json, OrganisationViewSet, choice_of, filters_of, resource
from control_plane.core.tenancy import refuse_other_organisation
from control_plane.vault import references
from control_plane.vault.models import SecretReference
from control_plane.vault.serializers import SecretReferenceSerializer, listed_reference_json, reference_json
from control_plane.vault.sign_in import KINDS

_MAX_SEARCH_CHARS: Final = 255


def _tags_of(text: str) -> dict[str, str]:
    """Return the tags that a query asks for; raise Invalid for what is no object of texts."""
    try:
        tags = orjson.loads(text)
    except orjson.JSONDecodeError:
        tags = None
    texts = [*tags, *tags.values()] if isinstance(tags, dict) else [None]
    if not all(isinstance(value, str) and "\x00" not in value for value in texts):
        raise Invalid('tags must be a JSON object of texts, such as {"team":"search"}')
    return dict(tags)


@resource("secret-references")
class SecretReferenceViewSet(OrganisationViewSet):
    """Secrets that are kept in a secret manager, for all workspaces of the organisation or for some of them."""

    queryset = SecretReference.objects.all()
    serializer_class = SecretReferenceSerializer
    filters: ClassVar[dict[str, str]] = {
        "manager_type": "aws_sm, azure_kv or hashicorp_vault",
        "tags": "JSON object of tags, all of which a reference has",
        "search": "Part of the name",
    }
    example: ClassVar[Json] = {
        "name": "OpenAI key in AWS",
        "manager_type": "aws_sm",
        "auth_config": {
            "aws_auth_type": "accessKey",
            "aws_access_key_id": "AKIAEXAMPLE",
            "aws_secret_access_key": "example-0123456789abcdef",
            "aws_region": "eu-west-1",
        },
        "secret_path": "prod/openai",
        "secret_key": "api_key",
        "tags": {"team": "search"},
    }
    example_change: ClassVar[Json] = {"description": "for the search team", "secret_path": "prod/openai-2"}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow a list to what the query asks for."""
        query = filters_of(self.request)
        if kind := choice_of(query, "manager_type", KINDS):
            queryset = queryset.filter(manager_type=kind)
        if tags := query.get("tags"):
            queryset = queryset.filter(tags__contains=_tags_of(tags))
        if search := query.get("search"):
            queryset = queryset.filter(name__icontains=search[:_MAX_SEARCH_CHARS])
        return queryset

    def checked(self, *arguments: Any, **options: Any) -> Json:
        """Return the validated body; raise Invalid for one of another organisation, or of a single workspace."""
        given = super().checked(*arguments, **options)
        refuse_other_organisation(self.principal, given.get("organisation_id"))
        return given

    def show_in_list(self, row: SecretReference) -> Json:
        """Return a secret reference among others."""
        return listed_reference_json(row)

    def show(self, row: SecretReference) -> Json:
        """Return a secret reference, the secrets of its sign-in masked."""
        return reference_json(row)

    def _named(self, row: SecretReference) -> Json:
        return {"id": str(row.pk), "slug": row.slug, "object": "secret-reference"}

    def make(self, given: Json) -> Json:
        """Make a secret reference."""
        return self._named(references.create_reference(self.principal, given))

    def change(self, row: SecretReference, given: Json) -> Json:
        """Change a secret reference; of its sign-in, what is not named stays."""
        return self._named(references.update_reference(self.principal, row, given))

    def remove(self, row: SecretReference) -> Json:
        """Delete a secret reference that nothing uses."""
        references.delete_reference(self.principal, row)
        return {}
