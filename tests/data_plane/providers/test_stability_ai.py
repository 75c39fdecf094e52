"""What is peculiar to Stability AI: what calls say of who makes them, and errors with a list."""

from data_plane.core.types import CallFacts, Usage
from data_plane.providers.stability_ai import PROVIDER

FACTS = CallFacts("stable-image-core", False, True, {}, {})


def test_an_account_says_who_calls():
    settings = {"stability_client_id": "c", "stability_client_user_id": "u", "stability_client_version": "1"}
    assert PROVIDER.headers(CallFacts("m", False, True, {}, settings)) == {
        "stability-client-id": "c", "stability-client-user-id": "u", "stability-client-version": "1",
    }  # fmt: skip
    assert PROVIDER.headers(FACTS) == {}
    assert PROVIDER.default_headers["accept"] == "application/json"


def test_images_are_drawn_and_changed_at_its_address():
    urls = {name: operation.url_for(PROVIDER.base_url, FACTS) for name, operation in PROVIDER.operations.items()}
    assert set(urls.values()) == {"https://api.stability.ai/v2beta/stable-image/generate/core"}
    assert set(urls) == {"image", "edit_image"}


def test_images_are_counted():
    image = PROVIDER.operations["image"]
    assert image.usage(image.decode({"image": "AAAA", "finish_reason": "SUCCESS"}, FACTS)) == Usage(images=1)


def test_an_error_says_its_reasons():
    fault = PROVIDER.operations["image"].fault(400, {"id": "x", "name": "bad_request", "errors": ["prompt: required"]})
    assert (fault.message, fault.type) == ("prompt: required", "bad_request")
