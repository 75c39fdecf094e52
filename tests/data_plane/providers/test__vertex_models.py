import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.providers._vertex_models import Tongue, find_model
from shared.errors import BadRequest


@pytest.mark.parametrize(("model", "tongue", "name", "path"), [
    ("gemini-2.5-pro", Tongue.GEMINI, "gemini-2.5-pro", "/publishers/google/models/gemini-2.5-pro"),
    ("google/gemini-2.5-pro", Tongue.GEMINI, "gemini-2.5-pro", "/publishers/google/models/gemini-2.5-pro"),
    ("publishers/google/models/g", Tongue.GEMINI, "g", "/publishers/google/models/g"),
    ("claude-3-haiku@1", Tongue.CLAUDE, "claude-3-haiku@1", "/publishers/anthropic/models/claude-3-haiku@1"),
    ("anthropic.claude-3-haiku@1", Tongue.CLAUDE, "claude-3-haiku@1", "/publishers/anthropic/models/claude-3-haiku@1"),
    ("anthropic/claude-x", Tongue.CLAUDE, "claude-x", "/publishers/anthropic/models/claude-x"),
    ("meta/llama-3.3-70b", Tongue.OPEN, "meta/llama-3.3-70b", "/endpoints/openapi"),
    ("meta.llama-3.3-70b", Tongue.OPEN, "meta/llama-3.3-70b", "/endpoints/openapi"),
    ("publishers/qwen/models/q", Tongue.OPEN, "qwen/q", "/endpoints/openapi"),
    ("new-one/model", Tongue.OPEN, "new-one/model", "/endpoints/openapi"),
    ("mistralai/m@2", Tongue.RAW, "m@2", "/publishers/mistralai/models/m@2"),
    ("endpoints/12", Tongue.GEMINI, "12", "/endpoints/12"), ("endpoints.12", Tongue.DEPLOYED, "12", "/endpoints/12"),
])  # fmt: skip
def test_a_models_name_says_whose_it_is_and_where_it_stands(model, tongue, name, path):
    assert find_model(model) == (tongue, name, path)


@pytest.mark.parametrize(
    "model", ["", "a/b/c", "meta/", "/a", "../a", "a/..", "publishers/x/models/a:b", "m?x", "x" * 401, "endpoints/"]
)
def test_what_can_be_no_model_is_refused(model):
    with pytest.raises(BadRequest) as raised:
        find_model(model)
    assert raised.value.path == "model"


@given(st.text(max_size=30) | st.text("a./:@?#%-", max_size=30))
def test_no_name_leads_out_of_the_places_of_models(model):
    path = "/endpoints/x"
    try:
        path = find_model(model).path
    except BadRequest as refusal:
        assert refusal.path == "model"
    assert path.startswith(("/endpoints/", "/publishers/"))
    assert not set(path) & set("?#%: \n")
    assert ".." not in path.split("/")
