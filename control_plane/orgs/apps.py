"""The app's configuration."""

from django.apps import AppConfig


class OrgsConfig(AppConfig):
    """Organisations and workspaces."""

    name = "control_plane.orgs"
    label = "orgs"
