import msgspec
import pytest

from data_plane.sync.tables import EmptyTable, Table, blob_refs
from shared.bundle.codec import encode_section, open_blob
from shared.bundle.model import BlobRef, BundleRejected, Section
from shared.errors import Quarantined
from shared.schema.rows import OrgRow


def table(lines):
    encoded = encode_section(lines)
    return Table("orgs", OrgRow, encoded.section, encoded.blobs)


def row(number):
    return msgspec.json.encode(OrgRow(f"o{number}", f"Org {number}"))


LINES = {f"o{number}": row(number) for number in range(400)}


def test_every_row_is_found_and_unknown_ids_are_none():
    made = table(LINES)
    assert all(made.get(f"o{number}").name == f"Org {number}" for number in range(400))
    assert made.get("o400") is None


def test_made_up_ids_cannot_fill_the_memory():
    made = table(LINES)
    for number in range(1000):
        made.get(f"made-up-{number}")
    assert len(made._memo) == 0


def test_an_unusable_row_is_quarantined_and_its_neighbours_are_not():
    made = table({**LINES, "o7": b'{"id":"o7","name":7}'})
    with pytest.raises(Quarantined):
        made.get("o7")
    assert made.get("o8").name == "Org 8"
    assert made.faulty() == ["o7"]


def test_rows_below_a_prefix_leave_out_unusable_ones():
    made = table({"w1/a": b'{"id":"w1/a","name":"A"}', "w1/b": b'{"id":"w1/b"}', "w2/c": b'{"id":"w2/c","name":"C"}'})
    assert [found.name for found in made.below("w1/")] == ["A"]


def test_a_section_that_is_missing_is_empty():
    empty = EmptyTable("orgs", OrgRow)
    assert empty.get("o1") is None
    assert list(empty.raw()) == []
    assert empty.faulty() == []


def test_a_section_that_would_unpack_to_too_much_is_refused():
    encoded = encode_section(LINES)
    index = open_blob(encoded.section.index, encoded.blobs[encoded.section.index.d])
    bloated = bytearray(index)
    bloated[-4:] = (2**31).to_bytes(4, "big")
    with pytest.raises(BundleRejected, match="too_large"):
        blob_refs(Section(400, encoded.section.buckets, BlobRef("", 0, 0)), bytes(bloated))
