"""Do embeddings reach Cohere in its words and come back in OpenAI's?"""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from data_plane.core.types import CallFacts
from data_plane.providers._cohere_embed import LEFT_OUT, decode_answer, encode_request, image_of, whole
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

BASE = {"model": "embed-v4.0", "input_type": "search_document", "embedding_types": ["float"]}
IMAGE = "data:image/png;base64,AAAA"


@pytest.fixture
def encode(facts):
    def run(**body):
        given = {"model": "@x/y", **body}
        before = copy.deepcopy(given)
        made = encode_request(given, facts("embed-v4.0"), provider="cohere")
        assert given == before
        return made

    return run


def test_texts_are_embedded_as_documents_unless_the_caller_says_what_for(encode):
    assert encode(input="a") == {**BASE, "texts": ["a"]}
    assert encode(input=["a", "b"], input_type="search_query")["input_type"] == "search_query"


def test_options_have_coheres_names(encode):
    assert encode(input="a", dimensions=512, encoding_format="base64", truncate="END") == {
        **BASE, "texts": ["a"], "output_dimension": 512, "embedding_types": ["base64"], "truncate": "END",
    }  # fmt: skip
    assert encode(input="a", embedding_types=["int8"], encoding_format="float")["embedding_types"] == ["int8"]


@pytest.mark.parametrize("image", [IMAGE, {"url": IMAGE}, {"base64": "AAAA"}])
def test_images_are_embedded_alone_or_with_texts(encode, image):
    assert encode(input=[{"image": image}]) == {**BASE, "images": [IMAGE], "input_type": "image"}
    assert encode(input=["a", {"text": "b", "image": image}])["inputs"] == [
        {"content": [{"type": "text", "text": "a"}]},
        {"content": [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": IMAGE}}]},
    ]  # fmt: skip
    assert image_of({}, "p") is None


@pytest.mark.parametrize("name", ["texts", "images", "inputs"])
def test_coheres_own_input_passes(encode, name):
    assert encode(**{name: ["x"]}) == {**BASE, name: ["x"]}


@pytest.mark.parametrize("given", [[1, 2], [[1]], 5])
def test_tokens_are_unsupported(encode, given):
    with pytest.raises(Unsupported, match="cohere embeds texts, not tokens"):
        encode(input=given)


@pytest.mark.parametrize("given", [None, [], [None], [{}], ["a", {"image": {}}]])
def test_what_is_no_input_is_refused(encode, given):
    with pytest.raises(BadRequest):
        encode(input=given)


def test_what_changes_nothing_is_left_out(encode):
    assert encode(input="a", **dict.fromkeys(LEFT_OUT, "x")) == encode(input="a")


@pytest.mark.parametrize(("vectors", "rows"), [
    ({"float": [[1.0], [2.0]]}, [[1.0], [2.0]]), ({"base64": ["AAAA"]}, ["AAAA"]), ({"int8": [[1]], "float": [[1.5]]}, [[1.5]]),
])  # fmt: skip
def test_vectors_are_a_counted_list(facts, vectors, rows):
    answer = {
        "id": "e",
        "embeddings": vectors,
        "texts": [],
        "meta": {"billed_units": {"input_tokens": 4.0, "image_tokens": 1}},
    }
    made = decode_answer(answer, facts("embed-v4.0"), provider="cohere")
    assert [(row["index"], row["embedding"]) for row in made["data"]] == list(enumerate(rows))
    assert (made["usage"], made["model"], made["provider"]) == (
        {"prompt_tokens": 5, "total_tokens": 5},
        "embed-v4.0",
        "cohere",
    )
    if "float" in vectors:
        CreateEmbeddingResponse.model_validate(made)


@pytest.mark.parametrize(
    ("answer", "told"), [({"message": "no"}, "cohere error: no"), ({}, "Invalid"), ({"embeddings": {}}, "Invalid")]
)
def test_what_is_no_answer_is_refused(facts, answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        decode_answer(answer, facts(), provider="cohere")


@pytest.mark.parametrize(
    ("told", "number"), [(3, 3), (3.0, 3), (3.5, 0), (-1.0, 0), (None, 0), (float("inf"), 0), ("3", 0), (True, 0)]
)
def test_numbers_of_tokens_are_whole(told, number):
    assert whole(told) == number


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["", "a", "data:"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "image", "url", "base64", "billed_units"]), inner),
    max_leaves=6,
)  # fmt: skip


@given(given=JSON, answer=st.dictionaries(st.sampled_from(["embeddings", "meta", "message"]), JSON))
def test_whatever_comes_is_translated_or_refused(given, answer):
    facts = CallFacts("m", False, True, {}, {})
    outcomes = []
    try:
        outcomes.append(encode_request({"input": given}, facts, provider="cohere"))
    except BadRequest as refusal:
        outcomes.append(refusal.body())
    try:
        outcomes.append(decode_answer(answer, facts, provider="cohere"))
    except UpstreamInvalid as refusal:
        outcomes.append(refusal.body())
    assert all(isinstance(outcome, dict) for outcome in outcomes)
