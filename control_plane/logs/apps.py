"""The app's configuration."""

from django.apps import AppConfig


class LogsConfig(AppConfig):
    """Records of requests."""

    name = "control_plane.logs"
    label = "logs"
