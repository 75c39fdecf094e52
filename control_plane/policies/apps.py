"""The app's configuration."""

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    """Policies of usage and of rate."""

    name = "control_plane.policies"
    label = "policies"
