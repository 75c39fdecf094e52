import pytest

from data_plane.core.types import CallFacts, Usage
from data_plane.providers.registry import load_providers
from shared.errors import UpstreamInvalid
from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai("hyperbolic", "https://api.hyperbolic.xyz/v1", "chat", "complete", own=("image",))


def test_pictures_are_asked_for_in_its_own_words():
    operation = load_providers()["hyperbolic"].operations["image"]
    facts = CallFacts("FLUX.1-dev", False, True, {}, {})
    sent = operation.encode(
        {"model": "m", "prompt": "a cat", "n": 2, "size": "512x768", "cfg_scale": 5, "user": "u"}, facts
    )
    assert sent == {
        "model_name": "FLUX.1-dev",
        "prompt": "a cat",
        "cfg_scale": 5,
        "num_images": 2,
        "width": 512,
        "height": 768,
    }
    told = operation.decode({"images": [{"image": "AAAA"}, {"image": "BBBB"}]}, facts)
    assert ([one["b64_json"] for one in told["data"]], operation.usage(told)) == (["AAAA", "BBBB"], Usage(images=2))
    with pytest.raises(UpstreamInvalid):
        operation.decode({"images": [{}]}, facts)
