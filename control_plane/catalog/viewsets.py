"""Virtual keys, integrations, providers and custom providers in the Admin API."""

from typing import Any, ClassVar

from django.db.models import QuerySet

from control_plane.catalog import custom_providers, services
from control_plane.catalog.models import CustomProvider, Integration, VirtualKey
from control_plane.catalog.serializers import (
    CustomProviderSerializer,
    IntegrationSerializer,
    ProviderSerializer,
    VirtualKeySerializer,
    custom_provider_json,
    integration_json,
    listed_provider_json,
    provider_json,
    virtual_key_json,
)
from control_plane.core.errors import Denied, Invalid
from control_plane.core.resources import Json, ResourceViewSet, resource
from control_plane.core.tenancy import by_id_or_slug, resolve_workspace, visible_to


@resource("virtual-keys")
class VirtualKeyViewSet(ResourceViewSet):
    """Virtual keys; answers are flat and wrapped, because SDKs read the one form and clients by hand the other."""

    queryset = VirtualKey.objects.select_related("integration", "integration__secret")
    parts: ClassVar[tuple[str, ...]] = ("integration",)
    serializer_class = VirtualKeySerializer
    example: ClassVar[Json] = {"name": "Team OpenAI", "provider": "openai", "key": "sk-example-0123456789abcdef"}
    example_change: ClassVar[Json] = {"name": "Team OpenAI, renewed", "key": "sk-example-fedcba9876543210"}

    def show_in_list(self, row: VirtualKey) -> Json:
        """Return a virtual key."""
        return virtual_key_json(row)

    def show(self, row: VirtualKey) -> Json:
        """Return a virtual key, flat and wrapped."""
        return {**virtual_key_json(row), "success": True, "data": virtual_key_json(row)}

    def _named(self, row: VirtualKey) -> Json:
        named = {"id": str(row.pk), "slug": row.slug}
        return {**named, "object": "virtual-key", "success": True, "data": named}

    def make(self, given: Json) -> Json:
        """Make a virtual key with an integration of its own."""
        workspace = resolve_workspace(self.principal, given.get("workspace_id"))
        return self._named(services.create_virtual_key(self.principal, workspace, given))

    def change(self, row: VirtualKey, given: Json) -> Json:
        """Change a virtual key; settings that are not named stay."""
        if "configurations" in given:
            given["configurations"] = {**row.integration.configurations, **given["configurations"]}
        return self._named(services.update_virtual_key(self.principal, row, given))

    def remove(self, row: VirtualKey) -> Json:
        """Delete a virtual key."""
        services.delete_virtual_key(self.principal, row)
        return {"success": True, "data": {}}


@resource("providers")
class ProviderViewSet(ResourceViewSet):
    """Virtual keys of shared integrations."""

    queryset = VirtualKey.objects.select_related("integration", "integration__secret")
    parts: ClassVar[tuple[str, ...]] = ("integration",)
    serializer_class = ProviderSerializer
    example: ClassVar[Json] = {"name": "Search OpenAI", "integration_id": "{integration}"}
    example_change: ClassVar[Json] = {"note": "for the search team"}

    def show_in_list(self, row: VirtualKey) -> Json:
        """Return a provider as lists have it."""
        return listed_provider_json(row)

    def show(self, row: VirtualKey) -> Json:
        """Return a provider."""
        return provider_json(row)

    def make(self, given: Json) -> Json:
        """Make a virtual key of the integration that `integration_id` names, by UUID or slug."""
        workspace = resolve_workspace(self.principal, given.get("workspace_id"))
        rows = visible_to(Integration.objects.all(), self.principal)
        integration = rows.filter(by_id_or_slug(given["integration_id"])).first()
        if integration is None:
            raise Invalid("integration_id: no such integration")
        row = services.create_provider(self.principal, workspace, integration, given)
        return {"id": str(row.pk), "slug": row.slug}

    def change(self, row: VirtualKey, given: Json) -> Json:
        """Change a provider."""
        services.update_virtual_key(self.principal, row, given)
        return {"id": str(row.pk), "slug": row.slug}

    def remove(self, row: VirtualKey) -> Json:
        """Delete a provider."""
        services.delete_virtual_key(self.principal, row)
        return {}


@resource("integrations", scope="workspace_integrations")
class IntegrationViewSet(ResourceViewSet):
    """Integrations: those of a workspace, and those of the organisation, which need scopes of their own."""

    queryset = Integration.objects.select_related("secret")
    serializer_class = IntegrationSerializer
    filters: ClassVar[dict[str, str]] = {"type": "workspace or organisation"}
    example: ClassVar[Json] = {
        "name": "OpenAI account",
        "ai_provider_id": "openai",
        "key": "sk-example-0123456789abcdef",
    }
    example_change: ClassVar[Json] = {"name": "OpenAI account, renewed", "key": "sk-example-fedcba9876543210"}

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the scopes of both kinds; `_demand` asks for the right one once the kind is known."""
        return frozenset(
            scope.replace("workspace_", prefix, 1)
            for scope in super().scopes_of(action)
            for prefix in ("workspace_", "organisation_")
        )

    def _demand(self, verb: str, workspace_id: object) -> None:
        needed = f"{'workspace' if workspace_id else 'organisation'}_integrations.{verb}"
        if not self.principal.allows(needed):
            raise Denied(f"This API key lacks the scope {needed}.")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave out the kind whose scope the caller lacks, and what `type` does not ask for."""
        kind = self.request.query_params.get("type")
        if kind == "organisation" or not self.principal.allows("workspace_integrations.list"):
            queryset = queryset.filter(workspace=None)
        if kind == "workspace" or not self.principal.allows("organisation_integrations.list"):
            queryset = queryset.exclude(workspace=None)
        return queryset

    def show(self, row: Integration) -> Json:
        """Return an integration with its key masked."""
        self._demand("read" if self.action == "retrieve" else "list", row.workspace_id)
        workspaces = row.virtual_keys.values("workspace_id").distinct().count()
        settings = {"enabled": False, "usage_limits": None, "rate_limits": None}
        return {
            **integration_json(row),
            "workspace_count": workspaces,
            "global_workspace_access_settings": settings,
            "secret_mappings": [],
        }

    def show_in_list(self, row: Integration) -> Json:
        """Return an integration among others."""
        return integration_json(row)

    def make(self, given: Json) -> Json:
        """Make an integration and, unless told not to, a virtual key of it."""
        principal = self.principal
        named = given.get("workspace_id")
        workspace = resolve_workspace(principal, named) if named or principal.workspace_ids is not None else None
        self._demand("create", workspace)
        integration = services.create_integration(principal, given, workspace=workspace)
        if given["create_default_provider"]:
            home = workspace or resolve_workspace(principal, None)
            wanted = {"name": integration.name, "slug": given.get("default_provider_slug")}
            services.create_provider(principal, home, integration, wanted)
        return {"id": str(integration.pk), "slug": integration.slug}

    def change(self, row: Integration, given: Json) -> Json:
        """Change an integration."""
        self._demand("update", row.workspace_id)
        services.update_integration(self.principal, row, given)
        return {"id": str(row.pk), "slug": row.slug}

    def remove(self, row: Integration) -> Json:
        """Delete an integration and its virtual keys."""
        self._demand("delete", row.workspace_id)
        services.delete_integration(self.principal, row)
        return {}


@resource("custom-providers", scope="organisation_integrations")
class CustomProviderViewSet(ResourceViewSet):
    """Providers that the organisation added by configuration, for all its workspaces."""

    queryset = CustomProvider.objects.all()
    serializer_class = CustomProviderSerializer
    example: ClassVar[Json] = {
        "name": "Acme Models",
        "base_url": "https://api.acme-models.com/v1",
        "auth": {"header": "x-acme-key", "prefix": ""},
        "headers": {"x-acme-region": "eu"},
        "endpoints": {"chat": {"path": "/chat"}, "embed": {}},
        "parameters": {"rename": {"max_tokens": "max_output_tokens"}, "drop": ["user"], "refuse": ["logprobs"]},
    }
    example_change: ClassVar[Json] = {
        "name": "Acme Models, new",
        "base_url": "https://api.acme-models.com/v2",
        "parameters": {"defaults": {"safe_mode": True}},
    }

    def get_queryset(self) -> QuerySet[Any]:
        """Return the organisation's; each workspace may use all of them."""
        if workspace := self.request.query_params.get("workspace_id"):
            resolve_workspace(self.principal, workspace)
        return super().get_queryset()

    def checked(self, *arguments: Any, **options: Any) -> Json:
        """Return the validated body; raise Invalid for one that would belong to a single workspace."""
        given = super().checked(*arguments, **options)
        if given.get("workspace_id"):
            raise Invalid("workspace_id: a custom provider belongs to the organisation as a whole")
        return given

    def show(self, row: CustomProvider) -> Json:
        """Return a custom provider."""
        return custom_provider_json(row)

    def _named(self, row: CustomProvider) -> Json:
        return {"id": str(row.pk), "slug": row.slug, "object": "custom-provider"}

    def make(self, given: Json) -> Json:
        """Add a provider."""
        return self._named(custom_providers.create_custom_provider(self.principal, given))

    def change(self, row: CustomProvider, given: Json) -> Json:
        """Change a provider; an object that is given replaces the old one as a whole."""
        return self._named(custom_providers.update_custom_provider(self.principal, row, given))

    def remove(self, row: CustomProvider) -> Json:
        """Delete a provider that nothing uses."""
        custom_providers.delete_custom_provider(self.principal, row)
        return {}
