"""Configs in the Admin API; answers are flat and wrapped, because SDKs read the one form and clients the other."""

from typing import Any, ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.configs import services
from control_plane.configs.models import Config
from control_plane.configs.question import Question, read_question, refuse
from control_plane.configs.question_schema import QuestionSerializer
from control_plane.configs.serializers import (
    ConfigSerializer,
    config_json,
    listed_config_json,
    version_json,
    warnings_of,
)
from control_plane.configs.simulation import answer_question, plan_of_body, plan_of_row
from control_plane.core.errors import Invalid
from control_plane.core.resources import Json, ResourceViewSet, resource
from control_plane.core.tenancy import by_id_or_slug, resolve_workspace
from shared.routing.plan import Plan


@resource("configs")
class ConfigViewSet(ResourceViewSet):
    """Configs of the caller's workspaces."""

    queryset = Config.objects.select_related("active")
    serializer_class = ConfigSerializer
    verbs: ClassVar[dict[str, str]] = {"versions": "read", "simulate": "read"}
    bodies: ClassVar[dict[str, Any]] = {"simulate": QuestionSerializer}
    example: ClassVar[Json] = {"name": "primary", "config": {"virtual_key": "team-openai", "retry": {"attempts": 2}}}
    example_change: ClassVar[Json] = {"name": "first", "config": {"virtual_key": "team-openai"}}

    def show_in_list(self, row: Config) -> Json:
        """Return a config without its body."""
        return listed_config_json(row)

    def show(self, row: Config) -> Json:
        """Return a config with its body, flat and wrapped."""
        shown = {**config_json(row), **_warnings(row)}
        return {**shown, "success": True, "data": shown}

    def _named(self, row: Config) -> Json:
        named = {"id": str(row.pk), "slug": row.slug, "version_id": str(row.active_id), **_warnings(row)}
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

    @action(detail=False, methods=["post"])
    def simulate(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer what gateways would do with a request; nothing is called and nothing written."""
        question = read_question(self.body())
        return Response(answer_question(question, self._plan(question)))

    def _plan(self, question: Question) -> Plan:
        rows = self.get_queryset()
        if question.workspace is not None:
            rows = rows.filter(workspace_id=resolve_workspace(self.principal, question.workspace).pk)
        if not isinstance(question.config, str):
            return plan_of_body(question.config)
        found = list(rows.filter(by_id_or_slug(question.config))[:2])
        if len(found) > 1:
            raise Invalid("Several workspaces have a config of that name: say which with workspace_id.")
        if not found:
            refuse(["path: config, message: No such config"])
        if found[0].status != "active":
            refuse(["path: config, message: This config is archived, so gateways do not serve it"])
        return plan_of_row(found[0])


def _warnings(row: Config) -> Json:
    """Return what must be said of a saved config, under its name; nothing when there is nothing."""
    told = warnings_of(row.body)
    return {"warnings": told} if told else {}
