"""The app's configuration."""

from django.apps import AppConfig


class ExplainConfig(AppConfig):
    """Looking up budgets and limits."""

    name = "control_plane.explain"
    label = "explain"
