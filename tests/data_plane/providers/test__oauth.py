from urllib.parse import parse_qs

from data_plane.providers._oauth import client_credentials, token_name
from shared.redact import Secret


def test_an_application_asks_with_its_id_and_secret_for_a_scope():
    ask = client_credentials("https://login.example/token", "app 1", Secret("s&e=cret"), "https://x/.default")
    assert ask.url == "https://login.example/token"
    assert {name: values[0] for name, values in parse_qs(ask.form.decode()).items()} == {
        "grant_type": "client_credentials", "client_id": "app 1", "client_secret": "s&e=cret", "scope": "https://x/.default",
    }  # fmt: skip


def test_a_token_is_kept_under_a_name_that_tells_no_secret_and_changes_with_it():
    first, second = (client_credentials("https://u", "c", Secret(text), "s") for text in ("sentinel-1", "sentinel-2"))
    assert first.key != second.key
    assert "sentinel" not in first.key + repr(first)
    assert token_name("a", Secret("b")) == token_name("a", Secret("b")) != token_name("ab", Secret(""))
