from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai("x-ai", "https://api.x.ai/v1", "chat", "responses", "complete", "image", "edit_image", "realtime")
