"""The app's configuration."""

from django.apps import AppConfig


class PromptsConfig(AppConfig):
    """Labels and collections of prompts."""

    name = "control_plane.prompts"
    label = "prompts"

    def ready(self) -> None:
        """Give new workspaces what they begin with."""
        from control_plane.prompts import beginnings  # noqa: F401, PLC0415 -- models exist only now
