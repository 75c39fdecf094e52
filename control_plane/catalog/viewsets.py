"""Virtual keys, integrations, providers and custom providers in the Admin API."""

from typing import Any, ClassVar, Final
from uuid import UUID

from django.db.models import QuerySet

from control_plane.budgets.usage import with_usage
from control_plane.catalog import budgets, custom_providers, services
from control_plane.catalog.access import count_workspaces, global_access_json, open_to, with_access
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
from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal
from control_plane.core.resources import Json, OrganisationViewSet, ResourceViewSet, ScopedViewSet, resource
from control_plane.core.tenancy import by_id_or_slug, resolve_workspace, visible_to
from control_plane.orgs.models import Workspace

#: Virtual keys with all that is shown of them, in a number of queries that does not depend on how many there are.
_VIRTUAL_KEYS: Final = with_usage(
    with_access(VirtualKey.objects.select_related("integration", "integration__secret")), budgets.VIRTUAL_KEY
)


def _integration_for(principal: Principal, workspace: Workspace, named: str) -> Integration:
    """Return the integration that a new provider names: one that the caller sees, or its workspace may use."""
    of_caller = visible_to(Integration.objects.all(), principal)
    for rows in (of_caller, open_to(workspace)):
        found = rows.filter(by_id_or_slug(named)).first()
        if found is not None:
            return found
    raise Invalid("integration_id: no such integration")


@resource("virtual-keys")
class VirtualKeyViewSet(ResourceViewSet):
    """Virtual keys; answers are flat and wrapped, because SDKs read the one form and clients by hand the other."""

    queryset = _VIRTUAL_KEYS.prefetch_related("integration__mappings")
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

    queryset = _VIRTUAL_KEYS
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
        integration = _integration_for(self.principal, workspace, given["integration_id"])
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


class OfIntegrations(ScopedViewSet):
    """Integrations of a workspace and those of the organisation need scopes of their own."""

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the scopes of both kinds; `demand_kind` asks for the right one once the kind is known."""
        return frozenset(
            scope.replace("workspace_", prefix, 1)
            for scope in super().scopes_of(action)
            for prefix in ("workspace_", "organisation_")
        )

    def demand_kind(self, verb: str, workspace_id: UUID | None) -> None:
        """Raise Denied without the scope for a kind: integrations of a workspace, or, with None, the other one."""
        self.demand(f"{'workspace' if workspace_id else 'organisation'}_integrations.{verb}", workspace_id)


@resource("integrations", scope="workspace_integrations")
class IntegrationViewSet(OfIntegrations, ResourceViewSet):
    """Integrations: those of a workspace, and those of the organisation, which need scopes of their own."""

    queryset = with_usage(
        Integration.objects.select_related("secret").prefetch_related("mappings"), budgets.INTEGRATION
    )
    serializer_class = IntegrationSerializer
    filters: ClassVar[dict[str, str]] = {"type": "workspace or organisation"}
    example: ClassVar[Json] = {
        "name": "OpenAI account",
        "ai_provider_id": "openai",
        "key": "sk-example-0123456789abcdef",
    }
    example_change: ClassVar[Json] = {"name": "OpenAI account, renewed", "key": "sk-example-fedcba9876543210"}

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
        self.demand_kind("read" if self.action == "retrieve" else "list", row.workspace_id)
        settings = global_access_json(row)
        return {
            **integration_json(row),
            "workspace_count": count_workspaces(row),
            "global_workspace_access_settings": settings,
            "global_workspace_access": settings,
        }

    def show_in_list(self, row: Integration) -> Json:
        """Return an integration among others."""
        return integration_json(row)

    def make(self, given: Json) -> Json:
        """Make an integration and, unless told not to, a virtual key of it."""
        principal = self.principal
        named = given.get("workspace_id")
        workspace = resolve_workspace(principal, named) if named or principal.workspace_ids is not None else None
        self.demand_kind("create", workspace.pk if workspace else None)
        integration = services.create_integration(principal, given, workspace=workspace)
        if given["create_default_provider"]:
            home = workspace or resolve_workspace(principal, None)
            wanted = {"name": integration.name, "slug": given.get("default_provider_slug")}
            services.create_provider(principal, home, integration, wanted)
        return {"id": str(integration.pk), "slug": integration.slug}

    def change(self, row: Integration, given: Json) -> Json:
        """Change an integration."""
        self.demand_kind("update", row.workspace_id)
        services.update_integration(self.principal, row, given)
        return {"id": str(row.pk), "slug": row.slug}

    def remove(self, row: Integration) -> Json:
        """Delete an integration and its virtual keys."""
        self.demand_kind("delete", row.workspace_id)
        services.delete_integration(self.principal, row)
        return {}


@resource("custom-providers", scope="organisation_integrations")
class CustomProviderViewSet(OrganisationViewSet):
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
