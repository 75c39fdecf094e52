from tests.data_plane.providers.forwarding_host import only_forwards


async def test_it_is_reached_by_forwarded_calls_with_its_credential(tmp_path):
    await only_forwards(
        "meshy", tmp_path, base_url="https://api.meshy.ai/openapi/v1", header=("authorization", "Bearer the-key")
    )
