import pytest

from shared.crypto.sealing import SealBroken, SealedTo, generate_sealing_key, seal, sealing_kid, unseal

TO = SealedTo("org", "group", "secret", 1)


def test_what_was_sealed_opens_with_the_private_key():
    private, public = generate_sealing_key()
    assert unseal(private, seal(public, b"sk-1", TO), TO) == b"sk-1"


@pytest.mark.parametrize("other", [
    TO._replace(org="other"), TO._replace(group="other"), TO._replace(secret_id="other"), TO._replace(version=2),
])  # fmt: skip
def test_a_seal_moved_elsewhere_does_not_open(other):
    private, public = generate_sealing_key()
    with pytest.raises(SealBroken):
        unseal(private, seal(public, b"sk-1", TO), other)


def test_another_key_or_a_changed_byte_does_not_open_it():
    private, public = generate_sealing_key()
    sealed = bytearray(seal(public, b"sk-1", TO))
    with pytest.raises(SealBroken):
        unseal(generate_sealing_key()[0], bytes(sealed), TO)
    sealed[-1] ^= 1
    with pytest.raises(SealBroken):
        unseal(private, bytes(sealed), TO)


def test_bindings_that_join_alike_are_not_the_same():
    assert SealedTo("a", "b", "c", 1).info() != SealedTo("a", "b\0c", "", 1).info()


def test_a_key_is_named_by_its_public_part():
    _, public = generate_sealing_key()
    assert sealing_kid(public) == sealing_kid(bytes(public))
    assert len(sealing_kid(public)) == 16
