"""How large is the image that a caller wants?  OpenAI's `size`, for providers that have other words for it.

Source: https://platform.openai.com/docs/api-reference/images/create
"""

import re
from math import gcd
from typing import Final

from data_plane.core.types import Json
from data_plane.providers._openai_request import wrong
from shared.errors import Unsupported

_SIZE: Final = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
#: The shapes that Stability's models draw, wherever they are sold.
_RATIOS: Final = frozenset({"16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"})


def size_of(body: Json) -> tuple[int, int] | None:
    """Return (width, height) in pixels, None when the provider may choose; raises BadRequest."""
    size = body.get("size")
    if size is None or size == "auto":
        return None
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        raise wrong("size", "must be like 1024x1024.")
    return int(found[1]), int(found[2])


def aspect_ratio(body: Json, provider: str) -> str | None:
    """Return the shape of the wanted size, None for any; raises BadRequest, Unsupported for one that is not drawn."""
    size = size_of(body)
    if size is None:
        return None
    part = gcd(*size)
    ratio = f"{size[0] // part}:{size[1] // part}"
    if ratio not in _RATIOS:
        raise Unsupported(f"{provider} makes no images of the size {body['size']} with this model.", path="size")
    return ratio


def count_of(body: Json) -> int:
    """Return how many images are wanted, 1 if nobody says; raises BadRequest.  In forms a number is a text."""
    n = body.get("n")
    if isinstance(n, str) and n.isascii() and n.isdigit() and len(n) <= 4:
        n = int(n)
    if n is None:
        return 1
    if type(n) is not int or n < 1:
        raise wrong("n", "must be a whole number from 1.")
    return n
