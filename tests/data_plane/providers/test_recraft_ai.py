"""What is peculiar to Recraft: forms for images of images, with what it demands and OpenAI does not know."""

from dataclasses import replace

import pytest

from data_plane.core.form import FormFile
from data_plane.core.types import Usage
from data_plane.providers.recraft_ai import PROVIDER
from shared.errors import BadRequest, Unsupported

IMAGE, EDIT, VARY = (PROVIDER.operations[name] for name in ("image", "edit_image", "vary_image"))
FILE = FormFile("1.png", "image/png", b"1")


def test_images_are_asked_for_as_at_openai(facts):
    body = {"prompt": "a cat", "style": "vector_illustration", "n": 2}
    assert IMAGE.url_for(PROVIDER.base_url, facts()) == "https://external.api.recraft.ai/v1/images/generations"
    assert IMAGE.encode(body, facts("recraftv3")) == {**body, "model": "recraftv3"}
    answer = IMAGE.decode({"data": [{"url": "https://x.example/1"}]}, facts())
    assert (answer["provider"], IMAGE.usage(answer)) == ("recraft-ai", Usage(images=1))


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_an_edit_says_how_much_is_drawn_anew(facts, name):
    body = {name: [FILE] if name == "image[]" else FILE, "prompt": "a hat"}
    form = EDIT.encode(body, facts("recraftv3"))
    assert form == {"prompt": "a hat", "model": "recraftv3", "image": FILE, "strength": "0.5"}
    assert EDIT.encode({**body, "strength": "0.9"}, facts())["strength"] == "0.9"
    assert EDIT.path_for(replace(facts(), asked=body)) == "/images/imageToImage"


def test_an_edit_with_a_mask_is_painted_in(facts):
    body = {"image": FILE, "mask": FILE, "prompt": "a hat"}
    assert EDIT.path_for(replace(facts(), asked=body)) == "/images/inpaint"
    assert EDIT.encode(body, facts("recraftv3")) == {**body, "model": "recraftv3"}


def test_a_variation_has_a_size(facts):
    assert VARY.path_for(facts()) == "/images/variateImage"
    assert VARY.encode({"image": FILE}, facts("")) == {"size": "1024x1024", "image": FILE}
    assert VARY.encode({"image": FILE, "size": "1x1"}, facts(""))["size"] == "1x1"


@pytest.mark.parametrize(("body", "error"), [
    ({"image": [FILE, FILE]}, Unsupported), ({"image": "text"}, BadRequest), ({}, BadRequest),
])  # fmt: skip
def test_one_image_is_changed(facts, body, error):
    with pytest.raises(error) as refusal:
        EDIT.encode(body, facts())
    assert refusal.value.path == "image"


@pytest.mark.parametrize("operation", [IMAGE, EDIT, VARY])
def test_nothing_is_streamed(facts, operation):
    with pytest.raises(Unsupported, match="does not stream"):
        operation.encode({"image": FILE, "prompt": "x"}, facts(stream=True))
