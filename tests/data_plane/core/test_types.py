import pytest

from data_plane.core.types import NO_USAGE, Answer, Credential, UpstreamRequest, Usage
from shared.redact import Secret


@pytest.mark.parametrize(
    "noun",
    [
        Credential(Secret("sk-sentinel-key"), ("api.openai.com",)),
        UpstreamRequest("https://x", {"authorization": "sk-sentinel"}, b"sk-sentinel", stream=False, timeout_ms=None),
    ],
)
def test_what_holds_a_credential_does_not_show_it(noun):
    assert "sentinel" not in repr(noun)


def test_a_usage_that_nobody_counted_is_not_one_of_zero_tokens():
    assert Usage() != NO_USAGE
    assert NO_USAGE.source == "none"


def test_answers_do_not_share_their_headers():
    Answer(200).headers["x"] = "1"
    assert Answer(200).headers == {}
