"""Which configs would break without something that is about to be deleted?"""

from typing import Any

from django.dispatch import receiver

from control_plane.catalog.custom_providers import asked_for_users
from control_plane.catalog.models import CustomProvider
from control_plane.configs.models import Config


def names_provider(body: Any, slug: str) -> bool:
    """Return whether a config's body, or a target in it, names the provider `slug`."""
    waiting = [body]
    while waiting:
        level = waiting.pop()
        if not isinstance(level, dict):
            continue
        if level.get("provider") == slug:
            return True
        targets = level.get("targets")
        waiting += targets if isinstance(targets, list) else []
    return False


@receiver(asked_for_users)
def configs_naming(provider: CustomProvider, **_signal: Any) -> list[str]:
    """Return the active configs of the organisation whose current version names a custom provider."""
    rows = Config.objects.filter(organisation_id=provider.organisation_id, status="active").select_related("active")
    return [f"config {config.slug}" for config in rows.iterator() if names_provider(config.body, provider.slug)]
