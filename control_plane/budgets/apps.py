"""The app's configuration."""

from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    """Budgets, and leases on them."""

    name = "control_plane.budgets"
    label = "budgets"
