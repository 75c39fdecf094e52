"""Where do secrets that we made leave the control plane?  Here, in the one answer that shows one to its owner."""

from shared.redact import Secret


def shown_once(secret: Secret) -> str:
    """Return the plain text of a key, token or link that was just made; it is kept nowhere in the clear.

    Never call it for a provider's credential: those leave the vault sealed.
    """
    return secret.reveal()
