"""The app's configuration."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Integrations and virtual keys."""

    name = "control_plane.catalog"
    label = "catalog"
