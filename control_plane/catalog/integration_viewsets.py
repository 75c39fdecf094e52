"""Models and workspaces of an integration in the Admin API."""

from abc import ABC
from typing import ClassVar, Final

from control_plane.catalog import access, allowed_models
from control_plane.catalog.integration_serializers import ModelsSerializer, WorkspacesSerializer
from control_plane.catalog.models import Integration
from control_plane.catalog.viewsets import OfIntegrations
from control_plane.core.errors import Invalid, Missing
from control_plane.core.resources import Json, SingleViewSet, resource
from control_plane.core.tenancy import by_id_or_slug, visible_to

_MODELS: Final = "integrations/(?P<integration>[^/]+)/models"
_WORKSPACES: Final = "integrations/(?P<integration>[^/]+)/workspaces"
_OLDER: Final = "integrations/(?P<integration>[^/]+)/integration-models"


class _OfOne(OfIntegrations, SingleViewSet, ABC):
    """What lies below one integration, which the path names."""

    queryset = Integration.objects.select_related("secret")

    def integration(self, verb: str) -> Integration:
        """Return the integration.  Raises Missing for one that the caller may not know of, Denied without the scope."""
        named = by_id_or_slug(str(self.kwargs["integration"]))
        rows = visible_to(Integration.objects.select_related("secret"), self.principal, self.scopes_of(self.action))
        found = rows.filter(named).first()
        if found is None:
            raise Missing
        self.demand_kind(verb, found.workspace_id)
        return found


@resource(_MODELS, scope="workspace_integrations")
class IntegrationModelsViewSet(_OfOne):
    """The models of an integration: those that are known of its provider, and what is said of them and of others."""

    serializer_class = ModelsSerializer
    refused: ClassVar[frozenset[str]] = frozenset()
    bodies: ClassVar[Json] = {"replace": ModelsSerializer}
    queries: ClassVar[dict[str, dict[str, str]]] = {"clear": {"slugs": "Models, separated by commas"}}

    def show(self) -> Json:
        """Return the models, and whether those that nothing is said of may be used."""
        return allowed_models.models_json(self.integration("read"))

    def set(self, given: Json) -> Json:
        """Say of models whether they may be used, where they are and what they cost."""
        if not given.get("models") and "allow_all_models" not in given:
            raise Invalid("models is required")
        allowed_models.set_models(self.principal, self.integration("update"), given)
        return {}

    def unset(self) -> Json:
        """Forget what was said of models; custom ones are gone then."""
        slugs = [slug for slug in self.request.query_params.get("slugs", "").split(",") if slug]
        if not slugs or any("\x00" in slug for slug in slugs):
            raise Invalid("slugs is required")
        allowed_models.drop_models(self.principal, self.integration("update"), slugs)
        return {}


@resource(_OLDER, scope="workspace_integrations")
class OlderModelsViewSet(IntegrationModelsViewSet):
    """The models of an integration, where older clients look for them."""


@resource(_WORKSPACES, scope="workspace_integrations")
class IntegrationWorkspacesViewSet(_OfOne):
    """Which workspaces may use an integration, and how much."""

    serializer_class = WorkspacesSerializer
    bodies: ClassVar[Json] = {"replace": WorkspacesSerializer}

    def show(self) -> Json:
        """Return every workspace and whether it may use the integration."""
        return access.accesses_json(self.integration("read"))

    def set(self, given: Json) -> Json:
        """Say which workspaces may use the integration, and how much."""
        access.set_access(self.principal, self.integration("update"), given)
        return {}
