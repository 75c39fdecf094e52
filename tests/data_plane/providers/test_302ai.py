from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai("302ai", "https://api.302.ai/v1", "chat")
