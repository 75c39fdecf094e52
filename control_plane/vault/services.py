"""How is a provider credential kept?  Encrypted by Fernet, with its own identity inside the ciphertext.

The identity is checked at decryption, so a ciphertext that was copied into another row, or an old one put back, is
refused.  `secret_stored` is sent inside the transaction that writes a credential: the gateways app seals it to its
groups then, and nothing else needs the plain text again.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.fernet import InvalidToken
from django.db import transaction
from django.dispatch import Signal

from control_plane.core.sealed import SecretUnreadable, box, current_key_id
from control_plane.vault.models import VaultSecret
from shared.redact import Secret, mask

#: Sent with `vault_secret` and `opened` (Opened), inside the transaction that writes.
secret_stored: Final = Signal()

#: An account whose secrets are all among its settings has no key of its own.
NO_KEY: Final = Secret("")
ROTATION_BATCH: Final = 200


class _Plaintext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sid: str
    v: int
    key: str
    hosts: tuple[str, ...]
    settings: dict[str, str] = {}


class Opened(NamedTuple):
    """A credential in plain: the key ("" when the account has none), the hosts it may be sent to, further secrets."""

    key: Secret
    hosts: tuple[str, ...]
    settings: Mapping[str, Secret] = {}


def _encrypt(vault_secret: VaultSecret, opened: Opened) -> None:
    settings = {name: value.reveal() for name, value in opened.settings.items()}
    shown = opened.key.reveal()
    plain = _Plaintext(str(vault_secret.pk), vault_secret.version, shown, opened.hosts, settings)
    vault_secret.ciphertext = box().encrypt(msgspec.json.encode(plain)).decode()
    vault_secret.key_id = current_key_id()
    vault_secret.masked = mask(shown or next(iter(settings.values()), ""))


@transaction.atomic
def store_secret(
    organisation: Any, key: Secret, hosts: Iterable[str], settings: Mapping[str, Secret] | None = None
) -> VaultSecret:
    """Keep a new credential of an organisation (a row or its id); `hosts` are the only ones it may be sent to.

    `settings` are further secrets of the account by name.
    """
    vault_secret = VaultSecret(organisation_id=getattr(organisation, "pk", organisation))
    return _write(vault_secret, Opened(key, tuple(hosts), settings or {}))


def _write(vault_secret: VaultSecret, opened: Opened) -> VaultSecret:
    _encrypt(vault_secret, opened)
    vault_secret.save()
    secret_stored.send(sender=VaultSecret, vault_secret=vault_secret, opened=opened)
    return vault_secret


@transaction.atomic
def replace_secret(
    vault_secret: VaultSecret, key: Secret, hosts: Iterable[str], settings: Mapping[str, Secret] | None = None
) -> VaultSecret:
    """Give a credential a new value, as its next version; the old one is gone."""
    locked = VaultSecret.objects.select_for_update().get(pk=vault_secret.pk)
    locked.version += 1
    return _write(locked, Opened(key, tuple(hosts), settings or {}))


def open_secret(vault_secret: VaultSecret) -> Opened:
    """Return a credential in plain.

    Raises SecretUnreadable when no configured key decrypts it, or when it belongs to another row or version.
    """
    try:
        raw = box().decrypt(vault_secret.ciphertext)
        plain = msgspec.json.decode(raw, type=_Plaintext)
    except (InvalidToken, msgspec.DecodeError):
        raise SecretUnreadable(f"secret {vault_secret.pk} cannot be decrypted with the configured keys") from None
    if plain.sid != str(vault_secret.pk) or plain.v != vault_secret.version:
        raise SecretUnreadable(f"secret {vault_secret.pk} holds the ciphertext of another row or version")
    return Opened(Secret(plain.key), plain.hosts, {name: Secret(text) for name, text in plain.settings.items()})


def rotate_batch(size: int = ROTATION_BATCH) -> int:
    """Encrypt up to `size` credentials anew with the first key; return how many, 0 when all are done.

    Interrupted at any point, the next call goes on.  Raises SecretUnreadable at the first that cannot be decrypted.
    """
    with transaction.atomic():
        rows = list(
            VaultSecret.objects.select_for_update(skip_locked=True)
            .exclude(key_id=current_key_id())
            .order_by("pk")[:size]
        )
        for row in rows:
            _encrypt(row, open_secret(row))
            row.save(update_fields=["ciphertext", "key_id"])
    return len(rows)
