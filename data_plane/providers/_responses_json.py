"""The objects of OpenAI's Responses API that an adapted answer consists of.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

import time
from collections.abc import Mapping
from typing import Any

from data_plane.core.types import Json, Usage
from data_plane.providers._openai_like import further_counts, further_details


def usage_json(usage: Usage | None) -> Json:
    """Return tokens in the words of the Responses API."""
    told = usage or Usage(source="none")
    of_input, of_output = further_details(told)
    cached = {"cached_tokens": told.cache_read, "cache_write_tokens": told.cache_write, **of_input}
    return {
        "input_tokens": told.input, "input_tokens_details": cached,
        "output_tokens": told.output, "output_tokens_details": {"reasoning_tokens": told.reasoning, **of_output},
        "total_tokens": told.input + told.output, **further_counts(told),
    }  # fmt: skip


def text_part(text: str) -> Json:
    """Return the part of an item that holds its text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def text_item(response_id: str, text: str) -> Json:
    """Return the item of an answer that is a text."""
    parts = [text_part(text)]
    return {"type": "message", "id": f"msg_{response_id}", "status": "completed", "role": "assistant", "content": parts}


def call_item(call_id: str, name: str, arguments: str) -> Json:
    """Return the item of an answer that is a call of a function."""
    return {
        "type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "arguments": arguments,
        "status": "completed",
    }  # fmt: skip


def response_json(head: Mapping[str, Any], output: list[Json], reason: object, usage: Usage | None) -> Json:
    """Return a whole response; `head` has the chat's `id` and `model`, `reason` is why it ended, None: it has not."""
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(str(reason))
    created = int(head.get("created") or time.time())
    status = "in_progress" if reason is None else "incomplete" if cut else "completed"
    served = {"service_tier": usage.tier} if usage is not None and usage.tier else {}
    return {
        "id": f"resp_{head.get('id') or ''}", "object": "response", "created_at": created,
        "status": status, "error": None, "incomplete_details": {"reason": cut} if cut else None,
        "model": str(head.get("model") or ""), "output": output, "parallel_tool_calls": True, "tool_choice": "auto",
        "tools": [], "previous_response_id": None, "store": False, "usage": usage_json(usage) if usage else None,
        **served,
    }  # fmt: skip
