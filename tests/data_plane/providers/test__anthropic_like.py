"""Is the operation put together for the provider that it is made for?"""

import pytest

from data_plane.providers._anthropic_like import api_key, messages
from shared.errors import Unsupported, UpstreamBroken, UpstreamInvalid
from shared.redact import Secret


def test_the_key_is_written_as_anthropics_header():
    headers = {}
    api_key(Secret("sk-ant-1"), headers)
    assert headers == {"x-api-key": "sk-ant-1"}


def test_errors_name_the_provider_that_the_operation_was_made_for(facts):
    operation = messages("acme", path="/v2/messages")
    assert operation.path == "/v2/messages"
    with pytest.raises(Unsupported, match="acme"):
        operation.encode({"n": 2}, facts())
    with pytest.raises(UpstreamInvalid, match="acme"):
        operation.decode({}, facts())
    with pytest.raises(UpstreamBroken, match="acme"):
        operation.decoder(facts(stream=True)).feed("", b"x")
