from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "chat",
        "complete",
        "embed",
        "image",
        "speech",
        "transcribe",
        "translate",
        "edit_image",
        "vary_image",
    )
