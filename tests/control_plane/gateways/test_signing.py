"""The root of trust is made once, kept private, and followed only by its own rules."""

import pytest

from control_plane.gateways.models import SigningRoot
from control_plane.gateways.signing import (
    BUNDLE_KEY,
    FRESHNESS_KEY,
    ROOT_KEYS,
    Signers,
    SigningKeysMissing,
    add_root,
    create_root,
    first_root_digest,
    make_key,
    signer,
)
from shared.bundle.model import BUNDLE_ROLE, FRESHNESS_ROLE, HEAD_TYPE, MANIFEST_TYPE, ROOT_TYPE, BundleRejected
from shared.bundle.trust import follow_root, pin_root, read_envelope, sha256, sign_envelope

pytestmark = pytest.mark.django_db


def replace_key(folder, name):
    (folder / f"{name}.pem").unlink()
    make_key(folder, name)
    return signer(folder, name)


def test_the_root_is_made_once_and_found_again(folder):
    first = create_root(folder)
    keys = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = create_root(folder)
    assert (again.content, again.version) == (first.content, 1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == keys
    assert SigningRoot.objects.count() == 1


def test_keys_and_their_folder_are_open_to_their_owner_only(folder):
    create_root(folder)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {f"{name}.pem": 0o600 for name in (*ROOT_KEYS, BUNDLE_KEY, FRESHNESS_KEY)}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_key_that_is_there_is_never_overwritten(folder):
    make_key(folder, BUNDLE_KEY)
    before = (folder / "bundle.pem").read_bytes()
    make_key(folder, BUNDLE_KEY)
    assert (folder / "bundle.pem").read_bytes() == before


def test_the_root_names_five_different_keys_each_for_its_role(folder):
    root = create_root(folder)
    assert root.key_ids("root") == {signer(folder, name).public_key.keyid for name in ROOT_KEYS}
    assert root.key_ids(BUNDLE_ROLE) == {signer(folder, BUNDLE_KEY).public_key.keyid}
    assert root.key_ids(FRESHNESS_ROLE) == {signer(folder, FRESHNESS_KEY).public_key.keyid}
    assert len(root.key_ids("root") | root.key_ids(BUNDLE_ROLE) | root.key_ids(FRESHNESS_ROLE)) == 5


@pytest.mark.parametrize(("number", "passes"), [(1, False), (2, True), (3, True)])
def test_two_of_three_root_keys_must_sign_the_next_root(folder, number, passes):
    root = create_root(folder)
    payload = read_envelope(root.content, ROOT_TYPE).payload
    content = sign_envelope(payload, ROOT_TYPE, [signer(folder, name) for name in ROOT_KEYS[:number]])
    if passes:
        assert pin_root(content, sha256(content)).version == 1
    else:
        with pytest.raises(BundleRejected, match="root_chain"):
            pin_root(content, sha256(content))


def test_the_bundle_key_cannot_sign_heads_nor_the_freshness_key_manifests(folder):
    create_root(folder)
    signers = Signers.load(folder)
    assert signers.root.open(sign_envelope(b"{}", HEAD_TYPE, [signers.freshness]), HEAD_TYPE) == b"{}"
    assert signers.root.open(sign_envelope(b"{}", MANIFEST_TYPE, [signers.bundle]), MANIFEST_TYPE) == b"{}"
    for by, kind in ((signers.bundle, HEAD_TYPE), (signers.freshness, MANIFEST_TYPE)):
        with pytest.raises(BundleRejected, match="sig_invalid"):
            signers.root.open(sign_envelope(b"{}", kind, [by]), kind)


def test_a_second_root_follows_the_first_and_names_the_keys_that_lie_there_now(folder):
    first = create_root(folder)
    old = [signer(folder, name) for name in ROOT_KEYS]
    new = replace_key(folder, BUNDLE_KEY)
    add_root(folder, version=2, signers=old, epoch=2, compromised=("stolen",))
    stored = bytes(SigningRoot.objects.get(version=2).content)
    second = follow_root(first, stored)
    assert (second.version, second.epoch, second.compromised) == (2, 2, {"stolen"})
    assert second.key_ids(BUNDLE_ROLE) == {new.public_key.keyid}
    assert Signers.load(folder).root.content == stored
    assert create_root(folder).version == 2


def test_a_root_with_new_root_keys_is_followed_when_old_and_new_ones_sign(folder):
    first = create_root(folder)
    old = [signer(folder, name) for name in ROOT_KEYS]
    new = [replace_key(folder, name) for name in ROOT_KEYS]
    second = add_root(folder, version=2, signers=[*old, *new])
    assert follow_root(first, second.content).key_ids("root") == {key.public_key.keyid for key in new}


def test_a_root_that_its_own_keys_have_not_signed_is_not_stored(folder):
    create_root(folder)
    old = [signer(folder, name) for name in ROOT_KEYS]
    for name in ROOT_KEYS:
        replace_key(folder, name)
    with pytest.raises(BundleRejected, match="root_chain"):
        add_root(folder, version=2, signers=old)
    assert SigningRoot.objects.count() == 1


def test_without_a_root_the_sentence_says_what_to_run(folder):
    for ask in (first_root_digest, lambda: Signers.load(folder)):
        with pytest.raises(SigningKeysMissing, match="run create_signing_keys"):
            ask()


def test_a_missing_key_file_is_named(folder):
    create_root(folder)
    (folder / "freshness.pem").unlink()
    with pytest.raises(SigningKeysMissing, match="The signing key freshness is missing"):
        Signers.load(folder)


def test_the_pinned_digest_stays_that_of_the_first_root(folder):
    first = create_root(folder)
    add_root(folder, version=2, signers=[signer(folder, name) for name in ROOT_KEYS])
    assert first_root_digest() == first.digest == sha256(bytes(SigningRoot.objects.get(version=1).content))
