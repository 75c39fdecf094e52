import msgspec
import pytest

from data_plane.sync.activate import check_shrink, examine
from shared.bundle.model import BundleRejected
from shared.schema.rows import CustomProviderRow
from tests.data_plane import kit


def test_a_good_bundle_has_nothing_quarantined():
    manifest, blobs = kit.bundle(3)
    verdict = examine(manifest, blobs, kit.opener(), None)
    assert (verdict.quarantined, verdict.snapshot.version) == ((), (1, 3))


@pytest.mark.parametrize(("before", "after", "word", "refused"), [
    (20, 9, False, True), (20, 10, False, False), (19, 0, False, False), (20, 0, True, False), (1000, 499, False, True),
])  # fmt: skip
def test_a_section_may_lose_half_its_rows_and_no_more_without_a_word(before, after, word, refused):
    def manifest(rows, **changes):
        made, _ = kit.bundle(1, api_keys=[kit.api_key(id=f"k{number}") for number in range(rows)])
        return msgspec.structs.replace(made, **changes)

    if refused:
        with pytest.raises(BundleRejected):
            check_shrink(manifest(after, allow_shrink=word), manifest(before))
    else:
        check_shrink(manifest(after, allow_shrink=word), manifest(before))


def test_a_first_bundle_may_be_of_any_size():
    check_shrink(kit.bundle(1)[0], None)


def test_the_list_of_quarantined_rows_is_bounded():
    many = [kit.config(f"pc-{number}", {"provider": "@main"}) for number in range(4000)]
    raw = {
        "configs": {
            f"{kit.WS}/bad-{number}": msgspec.json.encode({"id": f"{kit.WS}/bad-{number}"}) for number in range(150)
        }
    }
    manifest, blobs = kit.bundle(1, raw=raw, configs=many)
    assert len(examine(manifest, blobs, kit.opener(), None).quarantined) == 100


def test_a_custom_provider_that_cannot_be_built_is_quarantined_and_nothing_else_is():
    fields = {"org": kit.ORG, "base_url": "https://a.example"}
    good = CustomProviderRow(id=f"{kit.ORG}/good", slug="good", **fields)
    bad = CustomProviderRow(id=f"{kit.ORG}/bad", slug="bad", headers={"host": "x"}, **fields)
    verdict = examine(*kit.bundle(1, custom_providers=[good, bad]), kit.opener(), None)
    assert verdict.quarantined == (f"custom_providers/{kit.ORG}/bad",)
    assert verdict.snapshot.custom_provider(kit.ORG, "good").id == "good"


def test_a_custom_provider_that_does_not_decode_is_quarantined():
    row_id = f"{kit.ORG}/bad"
    raw = {"custom_providers": {row_id: msgspec.json.encode({"id": row_id, "org": kit.ORG, "slug": 7})}}
    verdict = examine(*kit.bundle(1, raw=raw, custom_providers=[]), kit.opener(), None)
    assert verdict.quarantined == (f"custom_providers/{row_id}",)
