"""Is the wanted size read, and are other words for it right?"""

import pytest

from data_plane.providers._image_size import aspect_ratio, count_of, size_of
from shared.errors import BadRequest, Unsupported


@pytest.mark.parametrize(
    ("size", "pixels", "ratio"),
    [("1024x1024", (1024, 1024), "1:1"), ("1536x1024", (1536, 1024), "3:2"), ("auto", None, None), (None, None, None)],
)
def test_a_size_is_pixels_or_a_shape(size, pixels, ratio):
    assert (size_of({"size": size}), aspect_ratio({"size": size}, "p")) == (pixels, ratio)


@pytest.mark.parametrize("size", ["big", 5, "0x5", "1024", "1x1x1", "999999x1"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(BadRequest, match="size"):
        size_of({"size": size})


def test_a_shape_that_nobody_draws_is_unsupported():
    with pytest.raises(Unsupported, match="p makes no images of the size 1792x1024"):
        aspect_ratio({"size": "1792x1024"}, "p")


@pytest.mark.parametrize(("n", "count"), [(None, 1), (2, 2), ("3", 3)])
def test_a_count_is_a_number_or_a_text_of_one(n, count):
    assert count_of({"n": n}) == count


@pytest.mark.parametrize("n", [0, -1, "two", True, 1.5, "²", [], "9" * 5000])
def test_what_is_no_count_is_refused(n):
    with pytest.raises(BadRequest, match="n must be"):
        count_of({"n": n})
