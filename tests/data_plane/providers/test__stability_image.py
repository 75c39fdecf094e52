"""Do images reach the API of Stability's that has the model, in its words?"""

import copy

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import ImagesResponse

from data_plane.core.form import FormFile
from data_plane.core.types import CallFacts
from data_plane.providers._stability_image import (
    DEFAULT_STRENGTH,
    LEFT_OUT,
    decode_bytes,
    decode_image,
    edit_path,
    encode_edit,
    encode_image,
    image_path,
    write_image,
)
from shared.errors import BadRequest, GatewayError, Unsupported, UpstreamInvalid

ENGINE, CORE, ULTRA, LARGE = "stable-diffusion-xl-1024-v1-0", "stable-image-core", "ultra", "sd3.5-large"
FILE = FormFile("a.png", "image/png", b"\x89PNG")


@pytest.fixture
def encode(facts):
    def run(model, **body):
        whole = {"model": "@x/y", "prompt": "a duck", **body}
        before = copy.deepcopy(whole)
        made = encode_image(whole, facts(model), provider="stability-ai")
        assert whole == before
        return made

    return run


@pytest.fixture
def edit(facts):
    def run(model, **body):
        whole = {"model": "@x/y", "prompt": "a hat", "image": FILE, **body}
        before = dict(whole)
        made = encode_edit(whole, facts(model), provider="stability-ai")
        assert whole == before
        return made

    return run


@pytest.mark.parametrize(("model", "drawn", "changed"), [
    (ENGINE, f"/v1/generation/{ENGINE}/text-to-image", f"/v1/generation/{ENGINE}/image-to-image"),
    (CORE, "/v2beta/stable-image/generate/core", "/v2beta/stable-image/generate/core"),
    ("core", "/v2beta/stable-image/generate/core", "/v2beta/stable-image/generate/core"),
    (LARGE, "/v2beta/stable-image/generate/sd3", "/v2beta/stable-image/generate/sd3"),
    ("inpaint", "/v2beta/stable-image/generate/inpaint", "/v2beta/stable-image/edit/inpaint"),
    ("a/../b?c", "/v2beta/stable-image/generate/a%2F..%2Fb%3Fc", "/v2beta/stable-image/generate/a%2F..%2Fb%3Fc"),
])  # fmt: skip
def test_the_model_tells_the_api(facts, model, drawn, changed):
    assert (image_path(facts(model)), edit_path(facts(model))) == (drawn, changed)


@pytest.mark.parametrize("model", ["", "..", "stable-image-.."])
def test_a_model_that_is_a_step_is_refused(facts, model):
    with pytest.raises(BadRequest):
        image_path(facts(model))


def test_engines_get_weighted_prompts_and_pixels(encode):
    assert encode(ENGINE) == {"text_prompts": [{"text": "a duck", "weight": 1}]}
    assert encode(ENGINE, n=2, size="1152x896", negative_prompt="geese", seed=7, style_preset="anime", cfg_scale=5) == {
        "text_prompts": [{"text": "a duck", "weight": 1}, {"text": "geese", "weight": -1}], "samples": 2, "width": 1152,
        "height": 896, "seed": 7, "style_preset": "anime", "cfg_scale": 5,
    }  # fmt: skip


def test_newer_models_get_a_shape(encode):
    assert encode(CORE, size="1536x1024", negative_prompt="geese", seed=7, style_preset="anime", output_format="webp", n=1) == {
        "prompt": "a duck", "negative_prompt": "geese", "aspect_ratio": "3:2", "seed": 7, "style_preset": "anime",
        "output_format": "webp",
    }  # fmt: skip
    assert encode(ULTRA, size="1792x1024", aspect_ratio="16:9")["aspect_ratio"] == "16:9"


def test_models_that_share_a_path_are_named(encode):
    assert encode(LARGE) == {"prompt": "a duck", "model": LARGE}
    assert encode("sd3") == {"prompt": "a duck"}


@pytest.mark.parametrize("model", [ENGINE, CORE])
def test_what_changes_nothing_is_left_out(encode, model):
    assert encode(model, **dict.fromkeys(LEFT_OUT, "x")) == encode(model)


@pytest.mark.parametrize(("model", "body", "told"), [
    (CORE, {"n": 2}, "stability-ai makes one image per call"), (CORE, {"size": "1792x1024"}, "makes no images of the size"),
])  # fmt: skip
def test_what_a_model_cannot_draw_is_unsupported(encode, model, body, told):
    with pytest.raises(Unsupported, match=told):
        encode(model, **body)


def test_images_are_not_streamed(facts):
    with pytest.raises(Unsupported, match="does not stream"):
        encode_image({"prompt": "x"}, facts(CORE, stream=True), provider="stability-ai")
    with pytest.raises(Unsupported, match="does not stream"):
        encode_edit({"image": FILE}, facts(CORE, stream=True), provider="stability-ai")


@pytest.mark.parametrize("body", [{"n": "two"}, {"size": "big"}])
def test_what_is_no_order_is_refused(encode, body):
    for model in (ENGINE, CORE):
        with pytest.raises(BadRequest):
            encode(model, **body)


def test_an_engine_changes_an_image_by_prompts(edit):
    assert edit(ENGINE, n="2", negative_prompt="geese", image_strength="0.4", response_format="b64_json", size="auto") == {
        "init_image": FILE, "text_prompts[0][text]": "a hat", "text_prompts[0][weight]": 1,
        "text_prompts[1][text]": "geese", "text_prompts[1][weight]": -1, "samples": 2, "image_strength": "0.4",
    }  # fmt: skip


def test_newer_models_change_an_image_by_strength(edit):
    assert edit(LARGE, seed="7") == {
        "image": FILE, "prompt": "a hat", "seed": "7", "strength": DEFAULT_STRENGTH, "mode": "image-to-image", "model": LARGE,
    }  # fmt: skip
    assert edit(ULTRA, image=None, **{"image[]": [FILE]}, strength="0.2", size="1024x1024") == {
        "image": FILE, "prompt": "a hat", "strength": "0.2", "aspect_ratio": "1:1",
    }  # fmt: skip


def test_a_way_of_changing_is_chosen_like_a_model(edit):
    assert edit("stable-image-inpaint", mask=FILE, grow_mask="5") == {
        "image": FILE, "prompt": "a hat", "mask": FILE, "grow_mask": "5",
    }  # fmt: skip


@pytest.mark.parametrize(("model", "body", "refusal"), [
    (ENGINE, {"mask": FILE}, Unsupported), (ENGINE, {"size": "512x512"}, Unsupported), (LARGE, {"mask": FILE}, Unsupported),
    (LARGE, {"size": "512x512"}, Unsupported), (CORE, {}, Unsupported), (ULTRA, {"n": "2"}, Unsupported),
    ("inpaint", {"size": "512x512"}, Unsupported), (ULTRA, {"image": [FILE, FILE]}, Unsupported),
    (ULTRA, {"image": None}, BadRequest), (ULTRA, {"image": "x"}, BadRequest),
])  # fmt: skip
def test_a_change_that_a_model_cannot_make_is_refused(edit, model, body, refusal):
    with pytest.raises(refusal):
        edit(model, **body)


def test_engines_get_json_and_newer_models_a_form(encode, edit):
    sent = write_image(encode(ENGINE))
    assert (sent.content_type, orjson.loads(b"".join(sent.parts))) == ("application/json", encode(ENGINE))
    form = write_image(encode(CORE))
    assert form.content_type.startswith("multipart/form-data; boundary=")
    assert b'name="prompt"\r\n\r\na duck\r\n' in b"".join(form.parts)
    assert b"\x89PNG" in b"".join(write_image(edit(ENGINE)).parts)


def test_a_value_that_no_body_can_hold_is_refused(encode):
    for model in (ENGINE, CORE):
        with pytest.raises(BadRequest):
            write_image(encode(model, seed=10**40))


def test_images_are_base64(facts):
    artifacts = [
        {"base64": "AAAA", "seed": 1, "finishReason": "SUCCESS"},
        {"base64": "BBBB", "finishReason": "CONTENT_FILTERED"},
    ]
    made = decode_image({"artifacts": artifacts}, facts(ENGINE), provider="stability-ai")
    ImagesResponse.model_validate(made)
    assert (made["data"], made["provider"]) == ([{"b64_json": "AAAA"}], "stability-ai")
    newer = decode_image(
        {"image": "AAAA", "seed": 7, "finish_reason": "SUCCESS"}, facts(CORE, strict=False), provider="s"
    )
    assert newer["data"] == [{"b64_json": "AAAA", "seed": 7}]
    assert decode_bytes(b"\x00\x00\x00", "image/png", facts(), provider="s")["data"] == [{"b64_json": "AAAA"}]


@pytest.mark.parametrize(("answer", "told"), [
    ({"artifacts": [{"base64": "A", "finishReason": "CONTENT_FILTERED"}]}, "stability-ai error: CONTENT_FILTERED"),
    ({"image": "A", "finish_reason": "CONTENT_FILTERED"}, "stability-ai error: CONTENT_FILTERED"),
    ({"errors": ["no"]}, "stability-ai error: no"), ({}, "Invalid response"), ({"artifacts": []}, "Invalid response"),
])  # fmt: skip
def test_an_answer_without_images_says_why(facts, answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        decode_image(answer, facts(), provider="stability-ai")


@pytest.mark.parametrize(("content", "kind"), [(b"x", "text/html"), (b"", "image/png"), (b"[]", "application/json")])
def test_bytes_that_are_no_image_are_refused(facts, content, kind):
    with pytest.raises(UpstreamInvalid):
        decode_bytes(content, kind, facts(), provider="s")


JSON = (
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.sampled_from(["", "a", "9x9", FILE])
    | st.lists(st.just(FILE), max_size=2)
)
NAMES = ["n", "size", "prompt", "negative_prompt", "image", "image[]", "mask", "aspect_ratio", "response_format"]


@given(
    model=st.sampled_from([ENGINE, CORE, ULTRA, LARGE, "sd3", "inpaint", "x", "", ".."]),
    body=st.dictionaries(st.sampled_from(NAMES), JSON),
    answer=st.dictionaries(st.sampled_from(["artifacts", "image", "finish_reason", "errors"]), JSON | st.lists(st.fixed_dictionaries({"base64": JSON}))),
    content=st.binary(max_size=4),
    kind=st.sampled_from(["image/png", "", "text/html"]),
)  # fmt: skip
def test_whatever_comes_is_translated_or_refused(model, body, answer, content, kind):
    facts = CallFacts(model, False, True, {}, {})
    outcomes = []
    for run in (
        lambda: {"path": image_path(facts), "edit": edit_path(facts)},
        lambda: encode_image(body, facts, provider="s"),
        lambda: encode_edit(body, facts, provider="s"),
        lambda: decode_image(answer, facts, provider="s"),
        lambda: decode_bytes(content, kind, facts, provider="s"),
    ):
        try:
            outcomes.append(run())
        except GatewayError as refusal:
            outcomes.append(refusal.body())
    assert all(isinstance(outcome, dict) for outcome in outcomes)
