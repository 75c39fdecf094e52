"""The app's configuration."""

from django.apps import AppConfig


class ConfigsConfig(AppConfig):
    """Configs."""

    name = "control_plane.configs"
    label = "configs"

    def ready(self) -> None:
        """Answer which configs use a custom provider."""
        from control_plane.configs import usage  # noqa: F401, PLC0415 -- models exist only now
