from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai(
        "together-ai",
        "https://api.together.xyz/v1",
        "chat",
        "complete",
        "embed",
        "image",
        "speech",
        "rerank",
        "transcribe",
        "translate",
        "realtime",
    )
