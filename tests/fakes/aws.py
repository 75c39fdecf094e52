"""What AWS would say: its event streams, and whether a request fits its own description of the service."""

import struct
from functools import cache
from zlib import crc32

import botocore.loaders
import botocore.model
import botocore.validate
import orjson


def header(name, kind, value):
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def text_header(name, value):
    raw = value.encode()
    return header(name, 7, struct.pack(">H", len(raw)) + raw)


def frame(headers, payload):
    """One message of an event stream, of headers that are encoded already."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    content = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return content + struct.pack(">I", crc32(content))


def event(name, said, *, kind="event"):
    """One event (or, with `kind` exception, an error) as Bedrock sends it."""
    headers = (
        text_header(f":{kind}-type", name)
        + text_header(":content-type", "application/json")
        + text_header(":message-type", kind)
    )
    return frame(headers, said if isinstance(said, bytes) else orjson.dumps(said))


@cache
def _service():
    loader = botocore.loaders.Loader()
    return botocore.model.ServiceModel(loader.load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def converse_problems(body):
    """What Bedrock's own description of Converse finds wrong with a request's body."""
    shape = _service().operation_model("Converse").input_shape
    return botocore.validate.ParamValidator().validate({"modelId": "m", **body}, shape).generate_report()
