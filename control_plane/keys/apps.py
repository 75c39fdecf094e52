"""The app's configuration."""

from django.apps import AppConfig


class KeysConfig(AppConfig):
    """API keys."""

    name = "control_plane.keys"
    label = "keys"
