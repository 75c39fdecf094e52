import msgspec

from shared.schema.log_record import AttemptRecord, LogRecord


def test_a_record_survives_the_wire_and_fields_that_a_newer_gateway_adds():
    record = LogRecord("i", 1, "o", "w", "chat", 200, attempts=(AttemptRecord(0, "openai", "config", 200, 1, 2),))
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode({**sent, "added_later": 1}), type=LogRecord) == record


def test_an_unknown_cost_is_not_zero():
    assert LogRecord("i", 1, "o", "w", "chat", 200).cost_nano is None
