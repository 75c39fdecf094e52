from data_plane.providers.registry import load_providers

PROVIDER = load_providers()["ollama"]


def test_it_lives_where_its_user_says_and_needs_no_key():
    assert PROVIDER.base_url == ""
    assert not PROVIDER.credential[0].required
    assert {operation.path for operation in PROVIDER.operations.values()} == {
        "/chat/completions", "/completions", "/embeddings",
    }  # fmt: skip
