"""The app's configuration."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Who is told of budgets, and how."""

    name = "control_plane.alerts"
    label = "alerts"
