import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._gemini_answer import read_google_fault
from data_plane.providers._pictures import fireworks_image, hyperbolic_image, imagen
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, GatewayError, Unsupported, UpstreamInvalid

FIREWORKS, HYPERBOLIC = fireworks_image("fireworks-ai"), hyperbolic_image("hyperbolic")
IMAGEN = imagen("vertex-ai", lambda _facts: "/x:predict", read_google_fault)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["predictions", "images", "image", "base64", "error"]), inner, max_size=3),
)  # fmt: skip


def facts(model="m", *, stream=False):
    return CallFacts(model, stream, True, {}, {})


def test_imagen_draws_what_is_asked_for():
    sent = IMAGEN.encode(
        {"model": "m", "prompt": "a cat", "n": 2, "size": "1024x1024", "seed": 7, "user": "u"}, facts()
    )
    assert sent == {
        "instances": [{"prompt": "a cat"}],
        "parameters": {"sampleCount": 2, "aspectRatio": "1:1", "seed": 7},
    }
    told = IMAGEN.decode({"predictions": [{"bytesBase64Encoded": "AAAA", "mimeType": "image/png"}]}, facts())
    assert (told["data"], told["provider"], IMAGEN.usage(told)) == (
        [{"b64_json": "AAAA"}],
        "vertex-ai",
        Usage(images=1),
    )


def test_imagen_stands_among_googles_models_and_nothing_else_draws():
    path = load_providers()["vertex-ai"].operations["image"].path_for
    assert path(facts("imagen-4.0-generate-001")) == "/publishers/google/models/imagen-4.0-generate-001:predict"
    with pytest.raises(Unsupported):
        path(facts("gemini-2.5-pro"))


def test_fireworks_draws_one_and_sends_it_as_it_is_or_in_base64():
    sent = FIREWORKS.encode(
        {"prompt": "a cat", "size": "512x512", "guidance_scale": 3, "response_format": "url"}, facts()
    )
    assert sent == {"prompt": "a cat", "guidance_scale": 3, "aspect_ratio": "1:1"}
    path = "/workflows/accounts/fireworks/models/flux-1-dev-fp8/text_to_image"
    assert FIREWORKS.path_for(facts("accounts/fireworks/models/flux-1-dev-fp8")) == path
    assert FIREWORKS.decode({"base64": ["AAAA"]}, facts())["data"] == [{"b64_json": "AAAA"}]
    assert FIREWORKS.decode_binary(b"\x00\x01", "image/jpeg", facts())["data"] == [{"b64_json": "AAE="}]
    with pytest.raises(Unsupported):
        FIREWORKS.encode({"prompt": "a cat", "n": 2}, facts())
    with pytest.raises(BadRequest):
        FIREWORKS.path_for(facts(".."))
    with pytest.raises(UpstreamInvalid):
        FIREWORKS.decode_binary(b"<html>", "text/html", facts())


@pytest.mark.parametrize("operation", [IMAGEN, FIREWORKS, HYPERBOLIC])
def test_nobody_draws_piece_by_piece(operation):
    with pytest.raises(Unsupported):
        operation.encode({"prompt": "a cat", "stream": True}, facts(stream=True))


@given(answer=st.dictionaries(st.sampled_from(["predictions", "images", "base64", "error"]), JSON))
def test_any_answer_is_pictures_or_invalid(answer):
    for operation in (IMAGEN, FIREWORKS, HYPERBOLIC):
        try:
            assert operation.decode(dict(answer), facts())["data"]
        except GatewayError as refused:
            assert isinstance(refused, UpstreamInvalid)
