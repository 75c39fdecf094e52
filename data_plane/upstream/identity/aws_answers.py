"""What did AWS answer?  Access keys as its token service writes them, in XML, and as its machines do, in JSON.

The XML is read element by element without its document type: one that declares entities is refused, so nothing can
grow while it is read, and nothing outside is looked up.
Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html
"""

import datetime as dt
import re
from typing import Any, Final
from xml.parsers import expat

from data_plane.core.identity import AwsKey
from data_plane.upstream.identity.machine import read_object
from shared.redact import Secret

MAX_DEPTH: Final = 16
_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")


def _refuse_type(*_declared: object) -> None:
    raise ValueError("a document type")


class _Reader:
    """Gathers the text of every element by its name and that of the element around it."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], str] = {}
        self._open = [""]

    def start(self, name: str, _attributes: object) -> None:
        if len(self._open) > MAX_DEPTH:
            raise ValueError("nested too deeply")
        # A name stands behind its namespace.
        self._open.append(name.rpartition(" ")[2])

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, piece: str) -> None:
        place = (self._open[-2] if len(self._open) > 1 else "", self._open[-1])
        self.texts[place] = self.texts.get(place, "") + piece


def read_xml(content: bytes) -> dict[tuple[str, str], str]:
    """Return the texts of a document by (name of the element around, name); raises ValueError for what is none."""
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_type
    try:
        parser.Parse(content, True)
    except expat.ExpatError:
        raise ValueError("no XML") from None
    return reader.texts


def _left_s(expires: object, now_s: float) -> float:
    if not isinstance(expires, str):
        raise ValueError("no time of its end")
    end = dt.datetime.fromisoformat(expires)
    if end.tzinfo is None:
        raise ValueError("a time of nowhere")
    return end.timestamp() - now_s


def _key(key_id: object, secret: object, token: object) -> AwsKey:
    parts = (key_id, secret, token)
    if not all(isinstance(part, str) and part.strip() and part.isascii() for part in parts):
        raise ValueError("no access key")
    told, hidden, session = (str(part).strip() for part in parts)
    return AwsKey(told, Secret(hidden), Secret(session))


def read_sts(content: bytes, now_s: float) -> tuple[AwsKey, float]:
    """Return the access key in an answer of the token service, and for how many seconds; raises ValueError."""
    texts = read_xml(content)
    key_id, secret, token, expires = (
        texts.get(("Credentials", name)) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    return _key(key_id, secret, token), _left_s(expires, now_s)


def read_code(content: bytes) -> str:
    """Return the code of an error of the token service, "" for what has none."""
    try:
        code = read_xml(content).get(("Error", "Code"), "")
    except ValueError:
        return ""
    return code if _CODE.fullmatch(code) else ""


def read_machine(content: bytes, now_s: float) -> tuple[AwsKey, float]:
    """Return the access key in an answer of a machine or container, and for how many seconds; raises ValueError."""
    told: dict[str, Any] = read_object(content)
    if told.get("Code", "Success") != "Success":
        raise ValueError("refused")
    key = _key(told.get("AccessKeyId"), told.get("SecretAccessKey"), told.get("Token"))
    return key, _left_s(told.get("Expiration"), now_s)
