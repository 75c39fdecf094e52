from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai("groq", "https://api.groq.com/openai/v1", "chat", "responses", "speech", "transcribe", "translate")
