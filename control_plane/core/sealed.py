"""How are secrets kept that are no provider's: seeds of second factors, client secrets of identity providers?

Encrypted with GATEHOUSE_FERNET_KEYS, the row's identity inside, so that a ciphertext put into another row is refused.
Credentials of providers are in the vault instead: those are sealed to gateways, and these must never reach one.
"""

import hashlib
from typing import Any, Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.db import models, transaction

from shared.redact import Secret

ROTATION_BATCH: Final = 200


class SecretUnreadable(RuntimeError):
    """A stored secret cannot be decrypted, or it is not the one that its row names."""


class _Plaintext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    row: str
    text: str


def box() -> MultiFernet:
    """Return what encrypts with the first configured key and decrypts with all."""
    return MultiFernet([Fernet(key) for key in settings.FERNET_KEYS])


def current_key_id() -> str:
    """Return the name of the key that encrypts now: a digest, which tells nothing of the key."""
    return hashlib.sha256(b"gatehouse key id\x00" + settings.FERNET_KEYS[0].encode()).hexdigest()[:16]


class SealedModel(models.Model):
    """A row with one secret text; "" as long as none was given.  `rotate_fernet_keys` finds every subclass."""

    ciphertext = models.TextField(blank=True)
    key_id = models.CharField(max_length=16, blank=True)

    class Meta:
        abstract = True

    def _name(self) -> str:
        return f"{self._meta.label_lower}:{self.pk}"

    def seal(self, secret: Secret) -> None:
        """Put `secret` into the row, encrypted; the caller saves it."""
        plain = msgspec.json.encode(_Plaintext(self._name(), secret.reveal()))
        self.ciphertext, self.key_id = box().encrypt(plain).decode(), current_key_id()

    def opened(self) -> Secret:
        """Return the secret.  Raises SecretUnreadable when no configured key opens it, or it is another row's."""
        if not self.ciphertext:
            return Secret("")
        try:
            plain = msgspec.json.decode(box().decrypt(self.ciphertext), type=_Plaintext)
        except (InvalidToken, msgspec.DecodeError):
            raise SecretUnreadable(f"{self._name()} cannot be decrypted with the configured keys") from None
        if plain.row != self._name():
            raise SecretUnreadable(f"{self._name()} holds the ciphertext of another row")
        return Secret(plain.text)


def rotate_sealed(size: int = ROTATION_BATCH) -> int:
    """Encrypt up to `size` secrets of each kind anew with the first key; return how many, 0 when all are done.

    Raises SecretUnreadable at the first that cannot be decrypted.
    """
    done = 0
    for model in apps.get_models():
        if issubclass(model, SealedModel):
            done += _rotate(model, size)
    return done


@transaction.atomic
def _rotate(model: Any, size: int) -> int:
    old = model.objects.exclude(ciphertext="").exclude(key_id=current_key_id())
    rows = list(old.select_for_update(skip_locked=True).order_by("pk")[:size])
    for row in rows:
        row.seal(row.opened())
        row.save(update_fields=["ciphertext", "key_id"])
    return len(rows)
