from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai(
        "fireworks-ai", "https://api.fireworks.ai/inference/v1", "chat", "complete", "embed", "rerank", own=("image",)
    )
