"""JSON bodies, strictly: what other parsers let pass and the database or a client would not."""

from __future__ import annotations

import json
import re
from typing import IO, TYPE_CHECKING, Any, Final

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.parsers import BaseParser

from sessions_unified.card_data import mask_numbers, refuse_card_data

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY_BYTES: Final = 64 * 1024
_MAX_DEPTH: Final = 12
_MAX_PATH: Final = 200
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
# Beyond 64 bits a number changes, or fails, on its way through the stores.
_MAX_NUMBER: Final = 2**63 - 1
_MAX_INTEGER_TEXT: Final = 20


class BodyTooLargeError(APIException):
    """The body is larger than any real request."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body is larger than {MAX_BODY_BYTES} bytes."
    default_code = "body_too_large"


class StrictJSONParser(BaseParser):
    """One JSON object: no NaN, duplicate keys, NUL, lone surrogates or card data; bounded."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object.

        Raises:
            ParseError: it is not a JSON object.
            ValidationError: something in it cannot be kept; names the field.
            CardDataError: something in it looks like card data; names the field.
            BodyTooLargeError: it is too large.

        """
        raw = stream.read(MAX_BODY_BYTES + 1)
        if len(raw) > MAX_BODY_BYTES:
            raise BodyTooLargeError
        try:
            value = json.loads(raw.decode(), object_pairs_hook=_unique, parse_int=_integer)
        except RecursionError as exc:
            message = f"The body is nested deeper than {_MAX_DEPTH} levels."
            raise ParseError(message) from exc
        except ValueError as exc:
            message = f"The body is not valid JSON: {exc}"
            raise ParseError(message) from exc
        if not isinstance(value, dict):
            message = "The body is not a JSON object."
            raise ParseError(message)
        _check(value, "", 0)
        refuse_card_data(value)
        return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _refusal(_extended("", name), "This key comes twice.")
        found[name] = value
    return found


def _integer(text: str) -> float:
    # Python refuses to read thousands of digits; as a float they are infinite, and refused below.
    return int(text) if len(text) <= _MAX_INTEGER_TEXT else float(text)


def _extended(path: str, name: str) -> str:
    # The name goes into the answer: in ASCII, so that no surrogate does, and without card numbers.
    shown = ascii(mask_numbers(name[:_MAX_PATH], "[card number]"))[1:-1]
    return f"{path}.{shown}".lstrip(".")[:_MAX_PATH]


def _refusal(path: str, message: str) -> ValidationError:
    return ValidationError({path: [message]})


def _check(value: Any, path: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _refusal(path, f"This is nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise _refusal(path, "This holds a NUL character or a lone surrogate.")
    # Put so that NaN, which compares with nothing, is refused too.
    if isinstance(value, int | float) and not abs(value) <= _MAX_NUMBER:
        raise _refusal(path, "This number is beyond 64 bits, or none.")
    if isinstance(value, dict):
        for name, item in value.items():
            deeper = _extended(path, name)
            _check(name, deeper, depth + 1)
            _check(item, deeper, depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check(item, f"{path}[{position}]", depth + 1)
