from data_plane.providers.registry import load_providers
from tests.data_plane.providers.openai_host import speaks_openai


def test_it_speaks_openai_at_its_router():
    speaks_openai("huggingface", "https://router.huggingface.co/v1", "chat", "complete")


def test_an_endpoint_of_ones_own_is_named_by_a_setting():
    assert load_providers()["huggingface"].address_setting == "huggingface_base_url"
