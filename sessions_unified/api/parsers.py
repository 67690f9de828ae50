"""JSON bodies, strictly: what other parsers let pass and the database or a client would not."""

from __future__ import annotations

import json
import re
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY_BYTES: Final = 64 * 1024
_MAX_DEPTH: Final = 12
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class BodyTooLargeError(APIException):
    """The body is larger than any real request."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body is larger than {MAX_BODY_BYTES} bytes."
    default_code = "body_too_large"


class StrictJSONParser(BaseParser):
    """One JSON object: no NaN, no duplicate keys, no NUL or lone surrogates, bounded."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object.

        Raises:
            ParseError: it is not such an object; says where.
            BodyTooLargeError: it is too large.

        """
        raw = stream.read(MAX_BODY_BYTES + 1)
        if len(raw) > MAX_BODY_BYTES:
            raise BodyTooLargeError
        try:
            value = json.loads(
                raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant
            )
        except (ValueError, RecursionError) as exc:
            message = f"The body is not valid JSON: {exc}"
            raise ParseError(message) from exc
        if not isinstance(value, dict):
            message = "The body is not a JSON object."
            raise ParseError(message)
        _check(value, "", 0)
        return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"the key {twice!r} comes twice"
        raise ValueError(message)
    return found


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _check(value: Any, path: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        message = f"{path}: nested deeper than {_MAX_DEPTH} levels."
        raise ParseError(message)
    if isinstance(value, str) and _UNSTORABLE.search(value):
        message = f"{path}: holds a NUL character or a lone surrogate."
        raise ParseError(message)
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        message = f"{path}: the number is too large."
        raise ParseError(message)
    if isinstance(value, dict):
        for name, item in value.items():
            _check(name, f"{path}.{ascii(name)[1:-1]}"[:200].lstrip("."), depth + 1)
            _check(item, f"{path}.{ascii(name)[1:-1]}"[:200].lstrip("."), depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check(item, f"{path}[{position}]", depth + 1)
