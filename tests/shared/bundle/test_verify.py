import msgspec
import pytest

from shared.bundle.model import BundleRejected, Head, Identity, ManifestRef
from shared.bundle.verify import (
    Marks,
    check_head,
    check_manifest,
    hinted_root_version,
    is_fresh,
    marks_after_head,
    open_manifest,
    under_root,
)
from tests.shared.bundle.signing_kit import IDENTITY, NOW, Kit

KIT = Kit()
ROOT = KIT.trusted()


def code(run, *args):
    with pytest.raises(BundleRejected) as raised:
        run(*args)
    return raised.value.code


def head_of(seq=1, **changes):
    return check_head(ROOT, KIT.head(KIT.manifest(seq), seq, **changes), IDENTITY, Marks())


def test_a_good_head_and_its_manifest_are_taken():
    manifest = KIT.manifest(5)
    head = check_head(ROOT, KIT.head(manifest, 5), IDENTITY, Marks())
    assert check_manifest(ROOT, manifest, head, IDENTITY, Marks()).version == (1, 5)


@pytest.mark.parametrize("audience", [{"org": "org-2"}, {"group": "group-2"}])
def test_what_is_addressed_to_somebody_else_is_refused(audience):
    manifest = KIT.manifest(**audience)
    assert code(check_head, ROOT, KIT.head(manifest, **audience), IDENTITY, Marks()) == "wrong_audience"
    assert code(open_manifest, ROOT, manifest, IDENTITY) == "wrong_audience"


@pytest.mark.parametrize("marks", [Marks(manifest=(1, 9)), Marks(head=(1, 9)), Marks(head=(1, 8), head_no=9)])
def test_an_older_head_is_refused(marks):
    assert code(check_head, ROOT, KIT.head(KIT.manifest(8), 8), IDENTITY, marks) == "rollback"


def test_an_equal_head_is_no_fault():
    marks = Marks(manifest=(1, 8), head=(1, 8), head_no=8)
    assert check_head(ROOT, KIT.head(KIT.manifest(8), 8), IDENTITY, marks).seq == 8


def test_a_head_of_another_epoch_than_the_roots_is_refused():
    assert code(check_head, ROOT, KIT.head(KIT.manifest(), epoch=2), IDENTITY, Marks()) == "rollback"


def test_a_new_head_for_an_older_manifest_is_refused():
    older = KIT.manifest(3)
    head = check_head(ROOT, KIT.head(older, 9), IDENTITY, Marks())
    assert code(check_manifest, ROOT, older, head, IDENTITY, Marks()) == "rollback"


def test_a_manifest_that_the_head_does_not_name_is_refused():
    assert (
        code(check_manifest, ROOT, KIT.manifest(1, created_by="x"), head_of(1), IDENTITY, Marks()) == "digest_mismatch"
    )


def test_a_manifest_below_the_mark_of_its_own_role_is_refused():
    manifest = KIT.manifest(3)
    head = check_head(ROOT, KIT.head(manifest, 3), IDENTITY, Marks())
    assert code(check_manifest, ROOT, manifest, head, IDENTITY, Marks(manifest=(1, 4))) == "rollback"


@pytest.mark.parametrize(("change", "fault"), [
    ({"requires": ("time-travel",)}, "missing_feature"), ({"min_reader": 99}, "unsupported_format"),
])  # fmt: skip
def test_a_manifest_that_needs_more_than_we_can_do_is_refused(change, fault):
    assert code(open_manifest, ROOT, KIT.manifest(**change), IDENTITY) == fault


def test_too_many_revocations_in_a_head_are_refused():
    revoked = tuple(f"k:{number}" for number in range(65))
    assert code(check_head, ROOT, KIT.head(KIT.manifest(), revoked=revoked), IDENTITY, Marks()) == "too_large"


def test_marks_only_rise_and_revocations_add_up():
    marks = marks_after_head(Marks(head=(1, 3), head_no=3, revoked=("k:1",)), head_of(4, revoked=("k:2",)))
    assert (marks.head, marks.head_no, marks.revoked) == ((1, 4), 4, ("k:1", "k:2"))


def test_a_stolen_freshness_key_poisons_nothing_once_it_is_replaced():
    poisoned = marks_after_head(under_root(Marks(manifest=(1, 5)), ROOT), head_of(2**62, revoked=("k:1",)))
    renewed = Kit()
    renewed.root_keys, renewed.bundle = KIT.root_keys, KIT.bundle
    after = under_root(poisoned, renewed.trusted())
    assert (after.manifest, after.head, after.head_no, after.revoked) == ((1, 5), (0, 0), 0, ())
    assert check_head(renewed.trusted(), renewed.head(renewed.manifest(6), 6), IDENTITY, after).seq == 6


def test_the_same_freshness_key_keeps_its_marks():
    marks = under_root(Marks(head=(1, 3), head_no=3), ROOT)
    assert under_root(marks, ROOT) == marks
    assert marks.head == (1, 3)


@pytest.mark.parametrize(("now", "fresh"), [(NOW, True), (NOW + 900, True), (NOW + 901, False), (NOW - 86_401, False)])
def test_only_a_head_of_about_now_proves_freshness(now, fresh):
    assert is_fresh(head_of(), now) is fresh


def test_an_expired_head_that_is_newer_is_still_taken():
    assert head_of(7, expires=1.0, issued_at=0.0).seq == 7


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"_type":"manifest"}', b"[" * 100_000])
def test_a_payload_that_is_no_head_hints_at_no_root(payload):
    assert hinted_root_version(payload) == 0


def test_a_signed_payload_that_is_no_head_is_refused():
    from shared.bundle.model import HEAD_TYPE
    from shared.bundle.trust import sign_envelope

    assert (
        code(check_head, ROOT, sign_envelope(b"[]", HEAD_TYPE, [KIT.freshness]), IDENTITY, Marks()) == "schema_invalid"
    )


def test_the_identity_is_compared_as_a_whole():
    assert Identity("a", "b") != Identity("b", "a")
    assert msgspec.structs.replace(Head("o", "g", 1, 2, 3, ManifestRef("d", 1), 1, 0.0, 0.0)).version == (1, 2)
