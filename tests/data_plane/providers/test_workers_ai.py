import pytest

from data_plane.providers.registry import load_providers
from shared.addresses import AddressIncomplete, fill_address

PROVIDER = load_providers()["workers-ai"]


def test_an_account_stands_in_the_address():
    filled = fill_address(PROVIDER.base_url, {"workers_ai_account_id": "acc1"})
    assert filled == "https://api.cloudflare.com/client/v4/accounts/acc1/ai/v1"


def test_without_an_account_there_is_no_address():
    with pytest.raises(AddressIncomplete):
        fill_address(PROVIDER.base_url, {})
