"""Is the reason found in errors that list their reasons?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.providers._listed_fault import read_listed_fault, refuse_listed


@pytest.mark.parametrize(("body", "message", "kind", "code"), [
    ({"success": False, "result": None, "errors": [{"code": 7003, "message": "No route"}], "messages": []}, "No route", None, 7003),
    ({"errors": [{"message": "a"}, {"code": 5, "message": "b"}]}, "a; b", None, 5),
    ({"id": "x", "name": "bad_request", "errors": ["seed: must be a number", "b"]}, "seed: must be a number; b", "bad_request", None),
    ({"id": "x", "name": "unauthorized", "message": "no key"}, "no key", None, None),
    ({"error": {"message": "no", "type": "t", "code": 1}}, "no", "t", 1),
    ({"errors": [], "message": "no"}, "no", None, None), ({"errors": [{}], "message": "no"}, "no", None, None),
    (None, "status 500, without an explanation", None, None), ({"errors": "x"}, "status 500, without an explanation", None, None),
])  # fmt: skip
def test_every_shape_says_why(body, message, kind, code):
    fault = read_listed_fault(500, body)
    assert (fault.message, fault.type, fault.code) == (message, kind, code)


def test_an_answer_that_is_none_is_refused_with_its_reason():
    assert refuse_listed({"errors": [{"message": "no"}]}, "p").message == "p error: no"
    assert refuse_listed({"message": "no"}, "p").message == "p error: no"
    assert refuse_listed({}, "p").message == "Invalid response received from p."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["message", "code", "errors"]), inner),
    max_leaves=8,
)


@given(body=st.dictionaries(st.sampled_from(["errors", "error", "message", "name", "code"]), JSON))
def test_whatever_it_is_there_is_a_sentence(body):
    assert isinstance(read_listed_fault(500, body).message, str)
    assert refuse_listed(body, "p").message
