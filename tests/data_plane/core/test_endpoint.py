from data_plane.core.endpoint import ENDPOINTS, NITRO, PROXY, UNIVERSAL, UNIVERSAL_TYPES
from data_plane.providers.registry import load_providers


def test_every_type_of_a_universal_call_is_an_operation():
    assert set(UNIVERSAL_TYPES.values()) <= set(ENDPOINTS)


def test_each_operation_has_a_path_of_its_own_below_the_version():
    paths = [endpoint.path for endpoint in ENDPOINTS.values()]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("/v1/") for path in paths)


def test_what_is_forwarded_unread_is_no_operation_of_a_provider():
    for provider in load_providers().values():
        assert not {PROXY, UNIVERSAL} & set(provider.operations)


def test_nitro_serves_only_what_is_sent_as_json():
    assert "speech" not in NITRO
