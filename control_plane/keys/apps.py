"""The app's configuration."""

from django.apps import AppConfig


class KeysConfig(AppConfig):
    """API keys; those of a person come and go with their membership."""

    name = "control_plane.keys"
    label = "keys"

    def ready(self) -> None:
        """Make keys for those who accept an invite, and revoke those of who leaves."""
        from control_plane.keys import membership  # noqa: F401, PLC0415 -- models exist only now
