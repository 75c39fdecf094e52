"""What is peculiar to Segmind: the model in the path, sizes by two names, answers that are the image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.providers.segmind import PROVIDER
from shared.errors import BadRequest, Unsupported, UpstreamInvalid
from shared.redact import Secret

IMAGE = PROVIDER.operations["image"]


def test_the_model_stands_in_the_path_and_cannot_leave_its_place(facts):
    assert IMAGE.url_for(PROVIDER.base_url, facts("sdxl1.0-txt2img")) == "https://api.segmind.com/v1/sdxl1.0-txt2img"
    assert IMAGE.path_for(facts("../a?b")) == "/..%2Fa%3Fb"
    with pytest.raises(BadRequest):
        IMAGE.path_for(facts(".."))


def test_the_key_has_a_header_of_its_own():
    headers = {}
    PROVIDER.authorise(Secret("k"), headers)
    assert headers == {"x-api-key": "k"}


@pytest.mark.parametrize(("model", "prefix"), [("sdxl1.0-txt2img", "img_"), ("ssd-1b", "img_"), ("flux-schnell", "")])
def test_sizes_are_named_as_the_model_names_them(facts, model, prefix):
    body = {"model": "x", "prompt": "a", "size": "512x768", "n": 2, "user": "u", "response_format": "url", "steps": 5}
    assert IMAGE.encode(body, facts(model)) == {
        "prompt": "a", "steps": 5, "samples": 2, f"{prefix}width": 512, f"{prefix}height": 768,
    }  # fmt: skip


def test_the_models_own_parameters_win(facts):
    body = {"prompt": "a", "size": "512x768", "img_width": 1, "samples": 3, "n": 2}
    assert IMAGE.encode(body, facts("sd1.5")) == {"prompt": "a", "img_width": 1, "img_height": 768, "samples": 3}


def test_no_stream_is_made(facts):
    with pytest.raises(Unsupported):
        IMAGE.encode({"prompt": "a"}, facts(stream=True))


def test_an_answer_that_is_the_image_comes_in_base64(facts):
    answer = IMAGE.decode_binary(b"\x00\x00\x00", "image/jpeg", facts())
    assert (answer["data"], answer["provider"]) == ([{"b64_json": "AAAA"}], "segmind")
    assert IMAGE.usage(answer) == Usage(images=1)


@pytest.mark.parametrize(("told", "data"), [
    ({"image": "AAAA"}, [{"b64_json": "AAAA"}]),
    ({"image": ["data:image/png;base64,AAAA", "https://x.example/1"]}, [{"b64_json": "AAAA"}, {"url": "https://x.example/1"}]),
    ({"images": ["BBBB"]}, [{"b64_json": "BBBB"}]),
])  # fmt: skip
def test_an_answer_in_json_holds_images(facts, told, data):
    assert IMAGE.decode(told, facts())["data"] == data


@pytest.mark.parametrize(("content", "kind"), [(b"", "image/png"), (b"<html>", "text/html")])
def test_what_is_no_image_is_refused(facts, content, kind):
    with pytest.raises(UpstreamInvalid):
        IMAGE.decode_binary(content, kind, facts())


def test_a_reason_is_told(facts):
    assert IMAGE.fault(406, {"error": "Insufficient credits"}).message == "Insufficient credits"
    with pytest.raises(UpstreamInvalid, match="segmind error: busy"):
        IMAGE.decode({"error": "busy"}, facts())


@given(st.dictionaries(
    st.sampled_from(["image", "images", "error", "message", "errors"]),
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(max_size=2), i)),
))  # fmt: skip
def test_whatever_is_answered_is_images_or_the_providers_fault(answer):
    try:
        data = IMAGE.decode(answer, CallFacts("m", False, True, {}, {}))["data"]
    except UpstreamInvalid:
        data = [{}]
    assert data
