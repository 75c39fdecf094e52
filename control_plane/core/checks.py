"""May this process run?  Settings that linters can do without, but that every use of the control plane needs."""

from collections.abc import Iterable
from typing import Any, Final

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from shared.env import SettingInvalid

LEAST_SECRET_CHARS: Final = 32


def _secret_key() -> str:
    try:
        return settings.SECRET_KEY
    except ImproperlyConfigured:
        # Django refuses to hand out an empty one.
        return ""


def setting_faults() -> list[str]:
    """Return one sentence for each setting that is missing or cannot be used; none of them shows a value."""
    faults = []
    if len(_secret_key()) < LEAST_SECRET_CHARS:
        faults.append(f"GATEHOUSE_SECRET_KEY must be set, with at least {LEAST_SECRET_CHARS} characters.")
    if not settings.FERNET_KEYS:
        faults.append("GATEHOUSE_FERNET_KEYS must be set: it encrypts provider credentials.")
    for number, key in enumerate(settings.FERNET_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            faults.append(f"GATEHOUSE_FERNET_KEYS: key {number} is not 32 bytes in URL-safe base64.")
    return faults


@register()
def check_secrets(app_configs: Iterable[Any] | None = None, **_rest: object) -> list[CheckMessage]:
    """Report unusable settings to Django's `check`."""
    return [Error(fault, id=f"gatehouse.E{number:03}") for number, fault in enumerate(setting_faults(), start=1)]


def refuse_unusable_settings() -> None:
    """Stop the process when settings cannot be used.  Raises SettingInvalid with every fault."""
    faults = setting_faults()
    if faults:
        raise SettingInvalid(" ".join(faults))
