"""Are embeddings asked for as each generation of Google's models takes them in a batch, and read as each answers?"""

import copy

import pytest

from data_plane.providers._vertex_embed_lines import embeddings_of, embeds, encode_line, line_key
from shared.errors import BadRequest, Unsupported

OLD, NEW = "text-embedding-005", "gemini-embedding-001"
BODY = {"model": "m", "input": "hi", "user": "u", "encoding_format": "float"}


def line(facts, model, **changes):
    return encode_line("Ünique 1", {**BODY, **changes}, facts(model), provider="vertex-ai")


@pytest.mark.parametrize(("model", "is_one"), [
    (OLD, True), (NEW, True), (f"publishers/google/models/{OLD}", True), ("text-multilingual-embedding-002", True),
    ("textembedding-gecko@003", True), ("multimodalembedding@001", False), ("gemini-2.5-flash", False), ("", False),
])  # fmt: skip
def test_a_model_says_by_its_name_that_it_embeds_texts(model, is_one):
    assert embeds(model) is is_one


def test_earlier_models_take_an_instance_with_the_id_in_it(facts):
    before = copy.deepcopy(BODY)
    assert line(facts, OLD) == {"content": "hi", "key": "Ünique 1"}
    assert line(facts, OLD, input=["hi"], task_type="CLUSTERING", title="T") == {
        "content": "hi", "task_type": "CLUSTERING", "title": "T", "key": "Ünique 1",
    }  # fmt: skip
    assert before == BODY


def test_later_models_take_a_content_with_its_settings_beside_the_id(facts):
    content = {"parts": [{"text": "hi"}]}
    assert line(facts, NEW) == {"key": "Ünique 1", "request": {"content": content}}
    said = {"dimensions": 256, "task_type": "CLUSTERING", "title": "T", "auto_truncate": False}
    assert line(facts, NEW, **said)["request"]["embed_content_config"] == {
        "output_dimensionality": 256, "task_type": "CLUSTERING", "title": "T", "auto_truncate": False,
    }  # fmt: skip


@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_line_embeds_one_input(facts, model):
    with pytest.raises(Unsupported, match="one input") as raised:
        line(facts, model, input=["a", "b"])
    assert raised.value.path == "input"
    with pytest.raises(BadRequest):
        line(facts, model, input=[])


def test_a_setting_that_an_earlier_model_would_leave_out_is_refused(facts):
    with pytest.raises(Unsupported, match="outputDimensionality"):
        line(facts, OLD, dimensions=64)


@pytest.mark.parametrize(("told", "key"), [
    ({"key": "a"}, "a"), ({"instance": {"key": "b"}}, "b"), ({"key": "a", "instance": {"key": "b"}}, "a"), ({}, ""),
    ({"key": 1, "instance": []}, ""),
])  # fmt: skip
def test_an_id_comes_back_beside_the_answer_or_in_the_instance(told, key):
    assert line_key(told) == key


@pytest.mark.parametrize(("told", "found"), [
    ({"predictions": [{"embeddings": {"values": [1]}}]}, {"predictions": [{"embeddings": {"values": [1]}}]}),
    ({"response": {"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 2}}},
     {"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 2}}),
    ({"response": {"embedding": {"values": [1]}, "tokenCount": "3"}}, {"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 3}}),
    ({"response": {"candidates": []}}, None), ({"response": []}, None), ({"predictions": {}}, None), ({}, None),
])  # fmt: skip
def test_embeddings_are_told_from_other_answers(told, found):
    assert embeddings_of(told) == found
