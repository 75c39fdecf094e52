"""What is peculiar to Stability AI: what calls say of who makes them, and errors with a list."""

import orjson

from data_plane.core.form import FormFile, write_form
from data_plane.core.types import CallFacts, Usage
from data_plane.providers.stability_ai import PROVIDER
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply

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


# through a gateway


async def call(tmp_path, reply, path="/v1/images/generations", raw=None, *, body=None, **headers):
    """Make a call with a key of the caller's own; return (status, answer, what was asked, record)."""
    async with FakeProvider([reply]) as fake, gateway(tmp_path) as gw:
        said = {"x-portkey-provider": "stability-ai", "authorization": "Bearer sk-key", **headers}
        said["x-portkey-custom-host"] = fake.origin
        status, answered, _ = await gw.send(body, said, path=path, raw=raw)
        return status, orjson.loads(answered), fake.seen[0], gw.recorded.last


async def test_an_order_in_json_becomes_a_form(tmp_path):
    body = {"model": "stable-image-core", "prompt": "a duck", "response_format": "url"}
    reply = Reply(json={"image": "AAAA", "finish_reason": "SUCCESS", "seed": 1})
    status, answered, seen, record = await call(tmp_path, reply, body=body, **{"x-portkey-stability-client-id": "me"})
    assert (status, answered["data"]) == (200, [{"b64_json": "AAAA"}])
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert (seen.headers["accept"], seen.headers["stability-client-id"]) == ("application/json", "me")
    assert b'name="prompt"\r\n\r\na duck\r\n' in seen.body
    assert record.units == {"images": 1}


async def test_an_image_that_is_not_wrapped_is_wrapped(tmp_path):
    body = {"model": "stable-image-core", "prompt": "a duck"}
    reply = Reply(body=b"\x00\x00\x00", headers={"content-type": "image/png"})
    _, answered, _, _ = await call(tmp_path, reply, body=body)
    assert answered["data"] == [{"b64_json": "AAAA"}]


async def test_a_form_becomes_a_form_of_other_fields(tmp_path):
    form = write_form({"model": "ultra", "prompt": "a hat", "image": FormFile("a.png", "image/png", b"\x89PNG")}, "bb")
    reply = Reply(json={"image": "AAAA", "finish_reason": "SUCCESS"})
    status, _, seen, _ = await call(
        tmp_path, reply, "/v1/images/edits", b"".join(form.parts), **{"content-type": form.content_type}
    )
    assert (status, seen.path) == (200, "/v2beta/stable-image/generate/ultra")
    assert b'name="strength"\r\n\r\n0.65\r\n' in seen.body
    assert b"\x89PNG" in seen.body
