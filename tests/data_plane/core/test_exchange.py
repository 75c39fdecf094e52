from data_plane.core.types import NO_USAGE, Usage
from tests.data_plane import kit


def test_a_new_attempt_names_nobody_yet_but_its_place():
    exchange = kit.exchange()
    exchange.named_by, exchange.provider, exchange.virtual_key = "the target", "openai", "main"
    exchange.integration, exchange.price_source, exchange.model_served = "int-1", "openai", "gpt-4o"
    exchange.begin_attempt("config.targets[1]")
    assert (exchange.target_path, exchange.named_by, exchange.provider) == ("config.targets[1]", "", None)
    assert (exchange.virtual_key, exchange.integration, exchange.price_source, exchange.model_served) == (None,) * 4


def test_an_answer_that_is_forgotten_leaves_nothing_and_attempts_stay():
    exchange = kit.exchange()
    exchange.usage, exchange.first_byte_s, exchange.answer_body = Usage(1, 2), 3.0, {"a": 1}
    exchange.answer_json, exchange.answer_bytes, exchange.is_streamed, exchange.is_cut = b"{}", 2, True, True
    exchange.answer_chunks.append(b"{}")
    exchange.upstream_s = 4.0
    exchange.forget_answer()
    assert (exchange.usage, exchange.first_byte_s, exchange.answer_body) == (NO_USAGE, None, None)
    assert (exchange.answer_json, exchange.answer_bytes, exchange.answer_chunks) == (b"", 0, [])
    assert (exchange.is_streamed, exchange.is_cut, exchange.upstream_s) == (False, False, 4.0)
