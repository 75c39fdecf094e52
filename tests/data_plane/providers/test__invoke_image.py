"""Do orders for images reach each family of models on Bedrock in its own words?"""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import ImagesResponse

from data_plane.core.types import CallFacts
from data_plane.providers._invoke_image import LEFT_OUT, decode_answer, encode_request
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

CANVAS, TITAN, STABLE = (
    "amazon.nova-canvas-v1:0",
    "amazon.titan-image-generator-v2:0",
    "stability.stable-image-core-v1:1",
)


@pytest.fixture
def encode(facts):
    def run(model, **body):
        whole = {"model": "@x/y", "prompt": "a duck", **body}
        before = copy.deepcopy(whole)
        made = encode_request(whole, facts(model), provider="bedrock")
        assert whole == before
        return made

    return run


@pytest.mark.parametrize("model", [CANVAS, TITAN])
def test_amazons_models_get_a_task(encode, model):
    assert encode(model) == {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a duck"}}
    assert encode(model, n=2, size="512x768", quality="hd", seed=7, negative_prompt="geese", response_format="b64_json") == {
        "taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a duck", "negativeText": "geese"},
        "imageGenerationConfig": {"numberOfImages": 2, "width": 512, "height": 768, "quality": "premium", "seed": 7},
    }  # fmt: skip


def test_amazons_own_words_pass(encode):
    made = encode(
        CANVAS, textToImageParams={"style": "3D"}, imageGenerationConfig={"cfgScale": 3}, size="auto", quality="auto"
    )
    assert made["textToImageParams"] == {"text": "a duck", "style": "3D"}
    assert made["imageGenerationConfig"] == {"cfgScale": 3}


def test_stability_gets_a_prompt_and_the_shape_of_a_size(encode):
    assert encode(STABLE) == {"prompt": "a duck"}
    assert encode(STABLE, n=1, size="1536x1024", seed=7, negative_prompt="geese", output_format="png") == {
        "prompt": "a duck", "negative_prompt": "geese", "seed": 7, "output_format": "png", "aspect_ratio": "3:2",
    }  # fmt: skip
    assert encode(STABLE, size="1792x1024", aspect_ratio="16:9")["aspect_ratio"] == "16:9"


@pytest.mark.parametrize(("model", "body", "told"), [
    (STABLE, {"n": 2}, "one image per call"), (STABLE, {"size": "1792x1024"}, "size"), (CANVAS, {"response_format": "url"}, "not with URLs"),
    ("amazon.nova-pro-v1:0", {}, "no images with the model"),
])  # fmt: skip
def test_what_a_model_cannot_draw_is_unsupported(encode, model, body, told):
    with pytest.raises(Unsupported, match=told):
        encode(model, **body)


@pytest.mark.parametrize(
    "body", [{"size": "big"}, {"size": 5}, {"size": "0x5"}, {"n": "two"}, {"imageGenerationConfig": 1}]
)
def test_what_is_no_order_is_refused(encode, body):
    with pytest.raises(BadRequest):
        encode(CANVAS, **body)


@pytest.mark.parametrize("model", [CANVAS, STABLE])
def test_what_changes_nothing_is_left_out(encode, model):
    assert encode(model, **dict.fromkeys(LEFT_OUT, "x")) == encode(model)


def test_images_are_base64(facts):
    made = decode_answer({"images": ["AAAA", "BBBB"], "error": None}, facts(CANVAS), provider="bedrock")
    ImagesResponse.model_validate(made)
    assert (made["data"], made["provider"]) == ([{"b64_json": "AAAA"}, {"b64_json": "BBBB"}], "bedrock")


@pytest.mark.parametrize(("answer", "told"), [
    ({"images": [], "error": "blocked by policy"}, "bedrock error: blocked by policy"), ({"message": "no"}, "bedrock error: no"),
    ({"finish_reasons": ["Filter reason: prompt"]}, "bedrock error: Filter reason: prompt"), ({}, "Invalid response"),
    ({"images": [None], "finish_reasons": [None]}, "Invalid response"),
])  # fmt: skip
def test_an_answer_without_images_says_why(facts, answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        decode_answer(answer, facts(STABLE), provider="bedrock")


JSON = (
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.sampled_from(["", "a", "9x9"])
    | st.just({})
    | st.lists(st.none(), max_size=2)
)


@given(
    model=st.sampled_from([CANVAS, STABLE, "x"]),
    body=st.dictionaries(st.sampled_from(["n", "size", "quality", "prompt", "textToImageParams", "response_format", "aspect_ratio"]), JSON),
    answer=st.dictionaries(st.sampled_from(["images", "error", "finish_reasons", "message"]), JSON),
)  # fmt: skip
def test_whatever_comes_is_translated_or_refused(model, body, answer):
    facts = CallFacts(model, False, True, {}, {})
    outcomes = []
    try:
        outcomes.append(encode_request(body, facts, provider="bedrock"))
    except BadRequest as refusal:
        outcomes.append(refusal.body())
    try:
        outcomes.append(decode_answer(answer, facts, provider="bedrock"))
    except UpstreamInvalid as refusal:
        outcomes.append(refusal.body())
    assert all(isinstance(outcome, dict) for outcome in outcomes)
