"""The app's configuration."""

from django.apps import AppConfig


class GatewaysConfig(AppConfig):
    """Gateways app; connects the sealer to the vault."""

    name = "control_plane.gateways"
    label = "gateways"

    def ready(self) -> None:
        """Seal every secret for its gateway groups in the transaction that writes it."""
        from control_plane.gateways import seal  # noqa: F401, PLC0415 -- models exist only now
