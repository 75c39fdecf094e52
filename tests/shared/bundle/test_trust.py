import pytest

from shared.bundle.model import HEAD_TYPE, MANIFEST_TYPE, MAX_HEAD_BYTES, BundleRejected
from shared.bundle.trust import follow_root, pin_root, reopen_root, sha256, sign_envelope
from tests.shared.bundle.signing_kit import Kit


@pytest.fixture(scope="module")
def kit():
    return Kit()


def code(run, *args):
    with pytest.raises(BundleRejected) as raised:
        run(*args)
    return raised.value.code


def test_the_first_root_is_trusted_by_its_pinned_digest_alone(kit):
    content = kit.root()
    assert pin_root(content, sha256(content)).version == 1
    assert code(pin_root, kit.root(), sha256(b"another")) == "root_chain"


def test_a_root_that_one_of_its_keys_signed_is_refused(kit):
    assert code(reopen_root, kit.root(signers=kit.root_keys[:1])) == "root_chain"


def test_a_root_signed_by_strangers_is_refused(kit):
    assert code(follow_root, kit.trusted(), Kit().root(version=2)) == "root_chain"


@pytest.mark.parametrize("version", [1, 3])
def test_the_chain_of_roots_has_no_gaps(kit, version):
    assert code(follow_root, kit.trusted(), kit.root(version=version)) == "root_chain"


def test_the_chain_is_followed_step_by_step_and_the_epoch_never_goes_back(kit):
    second = follow_root(kit.trusted(), kit.root(version=2, epoch=2))
    assert (second.version, second.epoch) == (2, 2)
    assert code(follow_root, second, kit.root(version=3, epoch=1)) == "root_chain"


def test_a_role_opens_what_its_own_key_signed_and_nothing_else(kit):
    root = kit.trusted()
    manifest = kit.manifest()
    assert b'"manifest"' in root.open(manifest, MANIFEST_TYPE)
    assert code(root.open, kit.manifest(signer=kit.freshness), MANIFEST_TYPE) == "sig_invalid"
    assert code(root.open, kit.head(manifest, signer=kit.bundle), HEAD_TYPE) == "sig_invalid"
    assert code(root.open, kit.manifest(signer=Kit().bundle), MANIFEST_TYPE) == "sig_invalid"


def test_an_object_of_another_type_is_refused(kit):
    root = kit.trusted()
    assert code(root.open, kit.manifest(payload_type=HEAD_TYPE), MANIFEST_TYPE) == "sig_invalid"
    assert code(root.open, kit.manifest(payload_type=HEAD_TYPE), HEAD_TYPE) == "sig_invalid"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"payload":1}', b"x" * (MAX_HEAD_BYTES + 1)])
def test_what_is_no_envelope_is_refused(kit, content):
    assert code(kit.trusted().open, content, HEAD_TYPE) in {"sig_invalid", "too_large"}


def test_any_flipped_byte_of_an_envelope_is_refused(kit):
    root = kit.trusted()
    whole = kit.head(kit.manifest())
    for at in range(0, len(whole), 3):
        bent = bytearray(whole)
        bent[at] ^= 0x01
        try:
            payload = root.open(bytes(bent), HEAD_TYPE)
        except BundleRejected:
            continue
        assert payload == root.open(whole, HEAD_TYPE), "a change outside of what is signed may pass, nothing else"


def test_a_signature_of_nobody_signs_nothing(kit):
    assert code(kit.trusted().open, sign_envelope(b"{}", HEAD_TYPE, []), HEAD_TYPE) == "sig_invalid"
