from data_plane.providers.bytez import PROVIDER
from tests.data_plane.providers.openai_host import sent


def test_it_speaks_openai_below_its_own_api():
    root = "https://api.bytez.com/models/v2/openai/v1"
    assert sent(PROVIDER, "chat").url == f"{root}/chat/completions"
    assert sent(PROVIDER, "complete").url == f"{root}/completions"
    assert sent(PROVIDER, "chat").headers["authorization"] == "Bearer the-key"
    assert PROVIDER.operations["models"].path == "/models/v2/openai/v1/models"


def test_its_errors_are_sentences():
    assert PROVIDER.operations["chat"].fault(429, {"error": "Rate limit exceeded", "output": None}).message == (
        "Rate limit exceeded"
    )
