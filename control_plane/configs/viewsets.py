"""Configs in the Admin API; answers are flat and wrapped, because SDKs read the one form and clients the other."""

from typing import Any, ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.configs import services
from control_plane.configs.models import Config
from control_plane.configs.serializers import ConfigSerializer, config_json, listed_config_json, version_json
from control_plane.core.resources import Json, ResourceViewSet, resource
from control_plane.core.tenancy import resolve_workspace


@resource("configs")
class ConfigViewSet(ResourceViewSet):
    """Configs of the caller's workspaces."""

    queryset = Config.objects.select_related("active")
    serializer_class = ConfigSerializer
    verbs: ClassVar[dict[str, str]] = {"versions": "read"}
    example: ClassVar[Json] = {"name": "primary", "config": {"virtual_key": "team-openai", "retry": {"attempts": 2}}}
    example_change: ClassVar[Json] = {"name": "first", "config": {"virtual_key": "team-openai"}}

    def show_in_list(self, row: Config) -> Json:
        """Return a config without its body."""
        return listed_config_json(row)

    def show(self, row: Config) -> Json:
        """Return a config with its body, flat and wrapped."""
        return {**config_json(row), "success": True, "data": config_json(row)}

    def _named(self, row: Config) -> Json:
        named = {"id": str(row.pk), "slug": row.slug, "version_id": str(row.active_id)}
        return {**named, "object": "config", "success": True, "data": named}

    def make(self, given: Json) -> Json:
        """Save a config."""
        workspace = resolve_workspace(self.principal, given.get("workspace_id"))
        row = services.create_config(
            self.principal,
            workspace,
            given["name"],
            given["config"],
            is_default=bool(given.get("is_default")),
            status=given.get("status", "active"),
        )
        return self._named(row)

    def change(self, row: Config, given: Json) -> Json:
        """Change a config; a new body makes a new version."""
        return self._named(services.update_config(self.principal, row, given))

    def remove(self, row: Config) -> Json:
        """Delete a config."""
        services.delete_config(self.principal, row)
        return {"success": True, "data": {}}

    @action(detail=True, methods=["get"])
    def versions(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer the versions of a config, newest first."""
        config = self.get_object()
        page = self.paginate_queryset(config.versions.select_related("config"))
        return self.get_paginated_response([version_json(version) for version in page or ()])
