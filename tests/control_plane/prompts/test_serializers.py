"""Labels and collections as requests write them."""

import pytest

from control_plane.prompts.serializers import CollectionSerializer, LabelSerializer


@pytest.mark.parametrize("name", ["prod", "a-b_c", "7a", "A", "latest2", "my-default", "grün", "1.0", "x" * 100])
def test_a_label_may_be_called_what_the_contract_allows(name):
    reader = LabelSerializer(data={"name": name})
    assert reader.is_valid(), reader.errors


@pytest.mark.parametrize(
    "name",
    [
        "latest",
        "default",
        "7",
        "007",
        "٣",
        "a@b",
        "a b",
        "a.b.c",
        "",
        " ",
        "a\nb",
        "ab\n7\t",
        "x" * 101,
        None,
        ["a"],
    ],
)
def test_a_label_that_would_be_read_as_something_else_is_refused(name):
    assert not LabelSerializer(data={"name": name}).is_valid()


@pytest.mark.parametrize("color", ["#fff", "#00AAff", "", None])
def test_a_colour_is_hexadecimal_or_none(color):
    assert LabelSerializer(data={"name": "a", "color_code": color}).is_valid()


@pytest.mark.parametrize("color", ["red", "fff", "#ffff", "#ggg", "#fffffff", "#fff;}", 7])
def test_what_is_no_colour_is_refused(color):
    assert not LabelSerializer(data={"name": "a", "color_code": color}).is_valid()


def test_both_spellings_of_the_organisation_are_read():
    row_id = "018f0000-0000-7000-8000-000000000000"
    for spelling in ("organisation_id", "organization_id"):
        reader = LabelSerializer(data={"name": "a", spelling: row_id})
        reader.is_valid(raise_exception=True)
        assert str(reader.validated_data["organisation_id"]) == row_id


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 256}, {"name": "a", "parent_collection_id": ["x"]}])
def test_a_collection_that_cannot_be_is_refused(body):
    assert not CollectionSerializer(data=body).is_valid()
