import msgspec
import pytest

from shared.bundle.model import Head, Manifest, ManifestRef


def test_a_head_is_not_read_as_a_manifest():
    head = Head("o", "g", 1, 1, 1, ManifestRef("d", 1), 1, 0.0, 0.0)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(head), type=Manifest)


def test_versions_are_ordered_by_epoch_first():
    assert Manifest("o", "g", 2, 1, {}).version > Manifest("o", "g", 1, 9, {}).version
