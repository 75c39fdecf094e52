"""The app's configuration."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Integrations and virtual keys."""

    name = "control_plane.catalog"
    label = "catalog"

    def ready(self) -> None:
        """Answer which integrations use a secret reference."""
        from control_plane.catalog import mappings  # noqa: F401, PLC0415 -- models exist only now
