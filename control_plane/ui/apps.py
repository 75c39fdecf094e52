"""The app's configuration."""

from django.apps import AppConfig


class UiConfig(AppConfig):
    """Pages for people."""

    name = "control_plane.ui"
    label = "ui"
