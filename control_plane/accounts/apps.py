"""The app's configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People."""

    name = "control_plane.accounts"
    label = "accounts"
