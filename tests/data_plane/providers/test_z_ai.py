from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai("z-ai", "https://api.z.ai/api/paas/v4", "chat")
