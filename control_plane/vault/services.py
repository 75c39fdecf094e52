"""How is a provider credential kept?  Encrypted by Fernet, with its own identity inside the ciphertext.

The identity is checked at decryption, so a ciphertext that was copied into another row, or an old one put back, is
refused.  `secret_stored` is sent inside the transaction that writes a credential: the gateways app seals it to its
groups then, and nothing else needs the plain text again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction
from django.dispatch import Signal

from control_plane.vault.models import VaultSecret
from shared.redact import Secret, mask

#: Sent with `vault_secret`, `key` (Secret) and `hosts`, inside the transaction that writes.
secret_stored: Final = Signal()

ROTATION_BATCH: Final = 200


class SecretUnreadable(RuntimeError):
    """A stored credential cannot be decrypted, or it is not the one that its row names."""


class _Plaintext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sid: str
    v: int
    key: str
    hosts: tuple[str, ...]


def _keys() -> list[str]:
    return list(settings.FERNET_KEYS)


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in _keys()])


def current_key_id() -> str:
    """Return the name of the key that encrypts now: a digest, which tells nothing of the key."""
    return hashlib.sha256(b"gatehouse key id\x00" + _keys()[0].encode()).hexdigest()[:16]


def _encrypt(vault_secret: VaultSecret, key: Secret, hosts: Sequence[str]) -> None:
    plain = _Plaintext(str(vault_secret.pk), vault_secret.version, key.reveal(), tuple(hosts))
    vault_secret.ciphertext = _box().encrypt(msgspec.json.encode(plain)).decode()
    vault_secret.key_id = current_key_id()
    vault_secret.masked = mask(key.reveal())


@transaction.atomic
def store_secret(organisation: Any, key: Secret, hosts: Iterable[str]) -> VaultSecret:
    """Keep a new credential of an organisation (a row or its id); `hosts` are the only ones it may be sent to."""
    vault_secret = VaultSecret(organisation_id=getattr(organisation, "pk", organisation))
    allowed = tuple(hosts)
    _encrypt(vault_secret, key, allowed)
    vault_secret.save()
    secret_stored.send(sender=VaultSecret, vault_secret=vault_secret, key=key, hosts=allowed)
    return vault_secret


@transaction.atomic
def replace_secret(vault_secret: VaultSecret, key: Secret, hosts: Iterable[str]) -> VaultSecret:
    """Give a credential a new value, as its next version; the old one is gone."""
    locked = VaultSecret.objects.select_for_update().get(pk=vault_secret.pk)
    locked.version += 1
    allowed = tuple(hosts)
    _encrypt(locked, key, allowed)
    locked.save()
    secret_stored.send(sender=VaultSecret, vault_secret=locked, key=key, hosts=allowed)
    return locked


def open_secret(vault_secret: VaultSecret) -> tuple[Secret, tuple[str, ...]]:
    """Return a credential and its hosts.

    Raises SecretUnreadable when no configured key decrypts it, or when it belongs to another row or version.
    """
    try:
        raw = _box().decrypt(vault_secret.ciphertext)
        plain = msgspec.json.decode(raw, type=_Plaintext)
    except (InvalidToken, msgspec.DecodeError):
        raise SecretUnreadable(f"secret {vault_secret.pk} cannot be decrypted with the configured keys") from None
    if plain.sid != str(vault_secret.pk) or plain.v != vault_secret.version:
        raise SecretUnreadable(f"secret {vault_secret.pk} holds the ciphertext of another row or version")
    return Secret(plain.key), plain.hosts


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
            key, hosts = open_secret(row)
            _encrypt(row, key, hosts)
            row.save(update_fields=["ciphertext", "key_id"])
    return len(rows)
