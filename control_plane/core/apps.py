"""The app's configuration."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """The kit; registers the checks of the settings."""

    name = "control_plane.core"
    label = "core"

    def ready(self) -> None:
        """Register the system checks."""
        from control_plane.core import checks  # noqa: F401, PLC0415 -- checks register themselves once apps exist
