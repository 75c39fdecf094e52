"""What is peculiar to Nomic: texts as JSON, pictures as a form, vectors without rows."""

import copy
from dataclasses import replace

import orjson
import pytest

from data_plane.core.form import FormFile
from data_plane.core.types import CallFacts, Usage
from data_plane.providers.nomic import PROVIDER
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

EMBED = PROVIDER.operations["embed"]
TEXT = CallFacts("nomic-embed-text-v1.5", False, True, {}, {})
VISION = replace(TEXT, model="nomic-embed-vision-v1.5")


def encode(facts, **body):
    whole = {"model": "@x/y", **body}
    before = copy.deepcopy(whole)
    made = EMBED.encode(whole, facts)
    assert whole == before
    return made


def test_texts_are_sent_as_json_in_nomics_words():
    made = encode(TEXT, input=["a", {"text": "b"}], dimensions=256, task_type="search_query", encoding_format="base64")
    assert made == {"model": TEXT.model, "texts": ["a", "b"], "dimensionality": 256, "task_type": "search_query"}
    binary = EMBED.write(made)
    assert (binary.content_type, orjson.loads(b"".join(binary.parts))) == ("application/json", made)
    assert EMBED.url_for(PROVIDER.base_url, TEXT) == "https://api-atlas.nomic.ai/v1/embedding/text"


def test_pictures_are_sent_as_a_form():
    made = encode(VISION, input=[{"image": "data:image/png;base64,iVBO"}])
    assert made == {"model": VISION.model, "images": [FormFile("image", "image/png", b"\x89PN")]}
    binary = EMBED.write(made)
    assert binary.content_type.startswith("multipart/form-data; boundary=")
    assert b"\x89PN" in b"".join(binary.parts)
    assert EMBED.url_for(PROVIDER.base_url, VISION) == "https://api-atlas.nomic.ai/v1/embedding/image"


def test_pictures_may_be_urls():
    made = encode(VISION, input=[{"image": {"url": "https://x.example/1.png"}}, {"image": "https://x.example/2.png"}])
    assert made["urls"] == ["https://x.example/1.png", "https://x.example/2.png"]
    assert b"".join(EMBED.write(made).parts).count(b'name="urls"') == 2


@pytest.mark.parametrize(("facts", "given", "refusal"), [
    (TEXT, [{"image": "AAAA"}], Unsupported), (TEXT, [[1]], Unsupported), (VISION, ["a"], Unsupported),
    (VISION, [{"text": "a", "image": "AAAA"}], Unsupported), (VISION, [{"image": "AAAA"}, {"image": "https://x.example"}], Unsupported),
    (VISION, [{"image": "data:image/png;base64,!"}], BadRequest), (TEXT, [], BadRequest),
])  # fmt: skip
def test_what_is_not_embedded_is_refused_with_its_place(facts, given, refusal):
    with pytest.raises(refusal) as caught:
        encode(facts, input=given)
    assert caught.value.path.startswith("input")


def test_a_value_that_no_body_can_hold_is_refused():
    with pytest.raises(BadRequest):
        EMBED.write(encode(TEXT, input="a", seed=10**40))


def test_vectors_are_rows_and_counted():
    answer = {"embeddings": [[0.5], [1.0]], "usage": {"prompt_tokens": 4, "total_tokens": 4}, "model": TEXT.model}
    made = EMBED.decode(answer, replace(TEXT, asked={"encoding_format": "base64"}))
    assert [row["embedding"] for row in made["data"]] == ["AAAAPw==", "AACAPw=="]
    assert (EMBED.usage(made), made["provider"]) == (Usage(4), "nomic")


@pytest.mark.parametrize(("answer", "told"), [({"detail": "no"}, "nomic error: no"), ({}, "Invalid response")])
def test_what_holds_no_vectors_is_refused(answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        EMBED.decode(answer, TEXT)


def test_an_error_is_a_detail_or_a_list_of_them():
    assert EMBED.fault(422, {"detail": [{"loc": ["body"], "msg": "field required"}]}).message == "field required"
