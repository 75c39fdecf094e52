"""The app's configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People; remembers where they sign in."""

    name = "control_plane.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Make a row for every sign-in, however it came about."""
        from control_plane.accounts import sign_ins  # noqa: F401, PLC0415 -- models exist only now
