"""What does a provider have that says no more than it must?"""

from dataclasses import replace

from data_plane.core.types import CallFacts
from data_plane.providers._openai_like import listing
from data_plane.providers.base import CredentialField, Provider


def test_a_provider_needs_one_secret_key_unless_it_says_otherwise():
    plain = Provider("x", "X", "https://x.example", lambda _key, _headers: None, {})
    assert plain.credential == (CredentialField("key", "API key", secret=True, required=True),)
    assert (plain.headers, plain.caller_headers, dict(plain.default_headers)) == (None, (), {})


def test_an_operation_stands_below_the_base_or_beside_its_end():
    facts = CallFacts("m", False, True, {}, {})
    below = listing("x", "/run/m")
    assert below.url_for("https://x.example/ai/v1", facts) == "https://x.example/ai/v1/run/m"
    beside = replace(below, beside="/v1")
    assert beside.url_for("https://x.example/ai/v1", facts) == "https://x.example/ai/run/m"
    assert beside.url_for("https://x.example/ai", facts) == "https://x.example/ai/run/m"


def test_an_operation_of_another_service_stands_where_that_is():
    facts = CallFacts("m", False, True, {}, {"place": "y"})
    elsewhere = replace(
        listing("x", "/run"), service=lambda base_url, told: f"https://{told.settings['place']}.{base_url[8:]}"
    )
    assert elsewhere.url_for("https://x.example", facts) == "https://y.x.example/run"
