"""The app's configuration."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Integrations and virtual keys."""

    name = "control_plane.catalog"
    label = "catalog"

    def ready(self) -> None:
        """Answer which integrations use a secret reference, and give new workspaces their budgets."""
        from control_plane.catalog import budgets, mappings  # noqa: F401, PLC0415 -- models exist only now
