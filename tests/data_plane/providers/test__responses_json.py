import pytest

from data_plane.core.types import Usage
from data_plane.providers._responses_json import call_item, response_json, text_item, usage_json


@pytest.mark.parametrize(("reason", "status", "details"), [
    (None, "in_progress", None), ("stop", "completed", None), ("tool_calls", "completed", None),
    ("length", "incomplete", {"reason": "max_output_tokens"}), ("content_filter", "incomplete", {"reason": "content_filter"}),
])  # fmt: skip
def test_a_response_says_how_it_ended(reason, status, details):
    made = response_json({"id": "c", "model": "m"}, [], reason, None)
    assert (made["status"], made["incomplete_details"], made["usage"]) == (status, details, None)


def test_parts_of_tokens_are_told_apart():
    assert usage_json(Usage(5, 4, cache_read=2, reasoning=1)) == {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0}, "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 9,
    }  # fmt: skip
    assert usage_json(None)["total_tokens"] == 0


def test_items_have_ids_of_their_own():
    assert text_item("x", "hi")["content"][0]["text"] == "hi"
    assert (call_item("a", "f", "{}")["id"], call_item("a", "f", "{}")["call_id"]) == ("fc_a", "a")
