"""What does a provider have that says no more than it must?"""

from data_plane.providers.base import CredentialField, Provider


def test_a_provider_needs_one_secret_key_unless_it_says_otherwise():
    plain = Provider("x", "X", "https://x.example", lambda _key, _headers: None, {})
    assert plain.credential == (CredentialField("key", "API key", secret=True, required=True),)
    assert (plain.headers, plain.caller_headers, dict(plain.default_headers)) == (None, (), {})
