"""Take in a file: a form whose lines are translated while they arrive, and stored while they are translated.

A fault anywhere in it, and a caller who hangs up, leave nothing behind.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from secrets import token_hex
from typing import Final

from data_plane.core.types import CallFacts, FormField
from data_plane.pipeline.bulk import lines
from data_plane.pipeline.bulk.wire import Sending, Wire
from data_plane.pipeline.target import Destination
from data_plane.providers._bulk import Bulk, Place
from shared.errors import BadRequest, BodyTooLarge, Unsupported
from shared.schema.target_settings import SETTING_HEADERS

MAX_FIELD_BYTES: Final = 4096
#: Settings about one call rather than about an account: headers say them for a saved provider too.
ASKED: Final = (
    "aws_s3_bucket", "aws_s3_object_key", "aws_bedrock_model", "amz_server_side_encryption",
    "amz_server_side_encryption_aws_kms_key_id", "vertex_storage_bucket_name", "provider_file_name", "provider_model",
    "file_purpose",
)  # fmt: skip
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(slots=True)
class Intake:
    """One file on its way in.

    `make_wire` gives the way to the account's services as some facts have it.  `check_model` and `check_place` raise
    for what the account may not have.
    """

    destination: Destination
    facts: CallFacts
    bulk: Bulk
    make_wire: Callable[[CallFacts], Wire]
    check_model: Callable[[str], None]
    check_place: Callable[[Place, Wire], Place]
    _sending: Sending | None = None

    async def take(self, fields: AsyncIterator[FormField]) -> tuple[Sending, lines.LineEncoder, int]:
        """Return (what was sent, how it was translated, its size in bytes); raises ProviderRefused and GatewayError."""
        try:
            sending, encoder = await self._read_form(fields)
            return sending, encoder, await sending.finish()
        except BaseException:
            if self._sending is not None:
                await self._sending.drop()
            raise

    async def _read_form(self, fields: AsyncIterator[FormField]) -> tuple[Sending, lines.LineEncoder]:
        encoder: lines.LineEncoder | None = None
        purpose = str(self.facts.settings.get("file_purpose") or "")
        async for field in fields:
            if field.filename is None:
                text = await field_text(field)
                setting = SETTING_HEADERS.get(field.name.lower(), (field.name, False))[0]
                if field.name == "purpose":
                    purpose = text
                elif setting in ASKED and encoder is None:
                    self.facts = replace(self.facts, settings={**self.facts.settings, setting: text})
            elif field.name != "file" or encoder is not None:
                raise BadRequest("The form must have one file.", path="file")
            else:
                encoder = self._encoder(purpose)
                self._sending = self._destined(field.filename, encoder)
                await self._take(field, encoder, self._sending)
        if encoder is None or self._sending is None or not encoder.count:
            raise BadRequest("The form must have a file with at least one line.", path="file")
        if purpose and purpose != encoder.purpose:
            raise BadRequest(f"The purpose must be {encoder.purpose} for these lines.", path="purpose")
        return self._sending, encoder

    def _encoder(self, purpose: str) -> lines.LineEncoder:
        if purpose not in {"", *lines.PURPOSES}:
            raise Unsupported(
                f"{self.destination.provider.id} has files here for the purposes: {', '.join(lines.PURPOSES)}",
                path="purpose",
            )
        base_url, settings = self.destination.base_url, self.facts.settings
        named = next((settings[name] for name in self.bulk.model_settings if settings.get(name)), "")
        facts = replace(self.facts, model=str(named), stream=False)
        return lines.LineEncoder(
            self.bulk.batches(base_url, facts), self.bulk.tunings(base_url, facts), facts, purpose, self.check_model,
            model=facts.model, is_fixed=bool(facts.model),
        )  # fmt: skip

    def _destined(self, filename: str, encoder: lines.LineEncoder) -> Sending:
        wire = self.make_wire(self.facts)
        bucket_setting, key_setting = wire.store.settings
        bucket = self.facts.settings.get(bucket_setting)
        if not bucket:
            header = f"x-portkey-{bucket_setting.replace('_', '-')}"
            raise BadRequest(f"{header} is required: the bucket that the file is put into.", path=bucket_setting)
        key = self.facts.settings.get(key_setting) or _made_key(filename)
        place = wire.store.place(str(bucket), str(key))
        if not place.key.endswith(".jsonl"):
            raise BadRequest("The name of the object must end with .jsonl.", path=key_setting)
        return Sending(wire, self.check_place(place, wire), lambda: encoder.purpose)

    async def _take(self, field: FormField, encoder: lines.LineEncoder, sending: Sending) -> None:
        splitter = lines.LineSplitter(lines.line_too_long)
        async for piece in field.pieces():
            for number, line in splitter.feed(piece):
                await sending.write(encoder.encode(number, line))
            # Translating takes a while: others must have their turn, however fast the caller is.
            await asyncio.sleep(0)
        for number, line in splitter.close():
            await sending.write(encoder.encode(number, line))


async def field_text(field: FormField) -> str:
    """Return the text of a field; raises BodyTooLarge and BadRequest."""
    content = bytearray()
    async for piece in field.pieces():
        content += piece
        if len(content) > MAX_FIELD_BYTES:
            raise BodyTooLarge("A field of the form is too long.")
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise BadRequest("A text of the form is not UTF-8.", path="body") from None


def _made_key(filename: str) -> str:
    """Return a name for an object that nobody else has, with what the caller calls the file at its end."""
    stem = _UNFIT.sub("_", PurePosixPath(filename.replace("\\", "/")).name.removesuffix(".jsonl")).strip("._")
    return f"gatehouse/{token_hex(12)}/{stem[:100] or 'file'}.jsonl"
