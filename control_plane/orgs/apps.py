"""The app's configuration."""

from django.apps import AppConfig


class OrgsConfig(AppConfig):
    """Organisations and workspaces."""

    name = "control_plane.orgs"
    label = "orgs"

    def ready(self) -> None:
        """Write into the trail what people do to their accounts."""
        from control_plane.orgs import trail  # noqa: F401, PLC0415 -- models exist only now
