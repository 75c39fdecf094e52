"""The app's configuration."""

from django.apps import AppConfig


class VaultConfig(AppConfig):
    """The vault."""

    name = "control_plane.vault"
    label = "vault"
