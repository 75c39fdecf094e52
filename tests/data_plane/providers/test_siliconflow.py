from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_own_address():
    speaks_openai(
        "siliconflow", "https://api.siliconflow.cn/v1", "chat", "embed", "image", "rerank", "speech", "transcribe"
    )
