"""Do embeddings reach Voyage's endpoint for the model, in its words?"""

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._voyage_embed import decode_answer, embed_path, encode_request
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

TEXT, MIXED, CHUNKED = "voyage-3.5", "voyage-multimodal-3.5", "voyage-context-3"
IMAGE = "data:image/png;base64,AAAA"


@pytest.fixture
def encode(facts):
    def run(model, **body):
        whole = {"model": "@x/y", **body}
        before = copy.deepcopy(whole)
        made = encode_request(whole, facts(model), provider="voyage")
        assert whole == before
        return made

    return run


@pytest.mark.parametrize(("model", "path"), [
    (TEXT, "/embeddings"), (MIXED, "/multimodalembeddings"), (CHUNKED, "/contextualizedembeddings"),
])  # fmt: skip
def test_the_model_tells_the_endpoint(facts, model, path):
    assert embed_path(facts(model)) == path


def test_texts_and_options_have_voyages_names(encode):
    assert encode(TEXT, input="a") == {"model": TEXT, "input": ["a"]}
    assert encode(TEXT, input=["a", {"text": "b"}], dimensions=256, encoding_format="base64", input_type="query",
                  truncation=False, output_dtype="int8", user="u") == {
        "model": TEXT, "input": ["a", "b"], "output_dimension": 256, "encoding_format": "base64", "input_type": "query",
        "truncation": False, "output_dtype": "int8",
    }  # fmt: skip


def test_floats_are_not_asked_for_because_the_word_is_refused(encode):
    assert "encoding_format" not in encode(TEXT, input="a", encoding_format="float")


def test_pictures_and_texts_are_one_input(encode):
    made = encode(MIXED, input=["a", {"text": "b", "image": {"url": "https://x.example/1.png"}}, {"image": IMAGE}])
    assert made == {"model": MIXED, "inputs": [
        {"content": [{"type": "text", "text": "a"}]},
        {"content": [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": "https://x.example/1.png"}]},
        {"content": [{"type": "image_base64", "image_base64": IMAGE}]},
    ]}  # fmt: skip


def test_what_is_in_voyages_words_passes(encode):
    own = [{"content": [{"type": "text", "text": "a"}]}]
    assert encode(MIXED, input=own)["inputs"] == own
    assert encode(MIXED, inputs=own) == {"model": MIXED, "inputs": own}
    assert encode(CHUNKED, inputs=[["a"]]) == {"model": CHUNKED, "inputs": [["a"]]}


def test_chunks_are_embedded_with_their_document(encode):
    assert encode(CHUNKED, input=["a", ["b", "c"]])["inputs"] == [["a"], ["b", "c"]]
    assert encode(CHUNKED, input="a")["inputs"] == [["a"]]


@pytest.mark.parametrize(("model", "given_input", "refusal"), [
    (TEXT, [[1, 2]], Unsupported), (TEXT, [{"image": IMAGE}], Unsupported), (TEXT, [{"text": "a", "image": IMAGE}], Unsupported),
    (TEXT, [], BadRequest), (MIXED, [{}], BadRequest), (MIXED, [{"image": {}}], BadRequest), (CHUNKED, [5], BadRequest),
    (CHUNKED, [[1]], BadRequest), (CHUNKED, None, BadRequest),
])  # fmt: skip
def test_what_is_not_embedded_is_refused_with_its_place(encode, model, given_input, refusal):
    with pytest.raises(refusal) as caught:
        encode(model, input=given_input)
    assert caught.value.path.startswith("input")


def test_the_chunks_of_all_documents_are_one_list(facts):
    row = {"object": "embedding", "embedding": [0.5], "index": 0}
    documents = [{"object": "list", "index": 0, "data": [row, {**row, "index": 1}]}, {"index": 1, "data": [row]}]
    answer = {"object": "list", "data": documents, "model": CHUNKED, "usage": {"total_tokens": 5}}
    made = decode_answer(answer, facts(CHUNKED), provider="voyage")
    assert [item["index"] for item in made["data"]] == [0, 1, 2]


def test_vectors_are_packed_where_voyage_does_not(facts):
    asked = replace(facts(MIXED), asked={"encoding_format": "base64"})
    made = decode_answer({"data": [{"embedding": [0.5], "index": 0}]}, asked, provider="voyage")
    assert made["data"][0]["embedding"] == "AAAAPw=="


JSON = st.recursive(
    st.none() | st.integers(-2, 3) | st.sampled_from(["", "a", "data:"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["text", "image", "url", "base64", "content", "data", "embedding"]), inner),
    max_leaves=7,
)  # fmt: skip


@given(model=st.sampled_from([TEXT, MIXED, CHUNKED]), given_input=JSON, held=JSON)
def test_whatever_comes_is_translated_or_refused(model, given_input, held):
    facts = CallFacts(model, False, True, {}, {})
    outcomes = []
    try:
        outcomes.append(encode_request({"input": given_input}, facts, provider="voyage"))
    except BadRequest as refusal:
        outcomes.append(refusal.body())
    try:
        outcomes.append(decode_answer({"data": held}, facts, provider="voyage"))
    except UpstreamInvalid as refusal:
        outcomes.append(refusal.body())
    assert all(isinstance(outcome, dict) for outcome in outcomes)
