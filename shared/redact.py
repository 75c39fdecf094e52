"""A string that cannot be printed: how secrets travel through the code."""

from typing import final


@final
class Secret:
    """A string that shows itself only to `reveal()`; grep `.reveal(` to list every place one leaves."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain secret; call it only in the line that sends or encrypts it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return "Secret(****)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")


def mask(value: str) -> str:
    """Return how a secret is shown to people: first three and last four characters, never a short one."""
    return f"{value[:3]}****{value[-4:]}" if len(value) >= 12 else "****"
