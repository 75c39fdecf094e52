"""The app's configuration."""

from django.apps import AppConfig


class ConfigsConfig(AppConfig):
    """Configs."""

    name = "control_plane.configs"
    label = "configs"
