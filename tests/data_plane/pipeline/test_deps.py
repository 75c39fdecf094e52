from tests.data_plane import kit
from tests.data_plane.pipeline.deps_kit import deps_of


async def test_two_gateways_in_one_process_share_no_memory():
    async with deps_of(kit.snapshot()) as first, deps_of(kit.snapshot()) as second:
        for name in ("breakers", "sticky", "streams", "memo", "kept"):
            assert getattr(first, name) is not getattr(second, name)


async def test_nothing_is_spread_copied_or_told_to_providers_unless_the_operator_says_so():
    async with deps_of(kit.snapshot()) as deps:
        assert (deps.jitter, deps.rules.block_inline, deps.rules.metadata_headers) == (False, False, ())
        assert deps.propagates == {"traceparent"}
