"""Opens sealed provider credentials, when a request first needs one; plain keys live in memory for minutes only."""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from data_plane.core.types import Credential
from shared.bundle.model import Identity
from shared.crypto.sealing import SealBroken, SealedTo, unseal
from shared.errors import Quarantined
from shared.redact import Secret
from shared.schema.rows import SealedPlaintext, SecretRow

TTL_S: Final = 600.0
_REMEMBERED: Final = 1000


class SecretOpener:
    """Opens the secrets of one gateway group; `keys` maps key id to the raw private key."""

    def __init__(
        self, identity: Identity, keys: Mapping[str, bytes], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._identity = identity
        self._keys = keys
        self._clock = clock
        self._opened: dict[tuple[str, int, str], tuple[float, Credential]] = {}

    def open(self, row: SecretRow) -> Credential:
        """Return the credential in `row`; raises Quarantined when it does not open."""
        memo = (row.id, row.version, row.sealed)
        held = self._opened.get(memo)
        now = self._clock()
        if held is not None and now < held[0]:
            return held[1]
        credential = self._unseal(row)
        if len(self._opened) >= _REMEMBERED:
            self._opened.clear()
        self._opened[memo] = (now + TTL_S, credential)
        return credential

    def _unseal(self, row: SecretRow) -> Credential:
        private = self._keys.get(row.kid)
        if private is None:
            raise Quarantined("A provider credential is sealed to a key that this gateway does not hold.")
        binding = SealedTo(row.org, self._identity.group, row.id, row.version)
        try:
            plain = unseal(private, base64.b64decode(row.sealed, validate=True), binding)
            opened = msgspec.json.decode(plain, type=SealedPlaintext)
        except (SealBroken, binascii.Error, msgspec.DecodeError):
            raise Quarantined("A provider credential cannot be opened by this gateway.") from None
        further = {name: Secret(text) for name, text in opened.settings.items()}
        return Credential(Secret(opened.key) if opened.key else None, opened.hosts, further)
