"""A request's charset: UTF-8, or it is no form of ours; no name of a charset fails anything."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.exceptions import BadRequest

from funnel.asgi import application as asgi
from funnel.encodings import Utf8ASGIRequest, Utf8WSGIRequest
from funnel.wsgi import application as wsgi

PARTS = b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n\xc3\xbc\\ud800\r\n--x--\r\n'
FORMS = {
    "multipart/form-data; boundary=x": PARTS,
    "application/x-www-form-urlencoded": b"n=%C3%BC%5Cud800",
}
# For no text, without "replace", always failing, yielding surrogates, and simply others.
OTHERS = ("hex", "zip", "idna", "undefined", "unicode_escape", "utf-7", "utf-16", "latin-1", "x")


def request(content_type: str, body: bytes = b"", query: str = "") -> Utf8WSGIRequest:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body),
    }
    return Utf8WSGIRequest(environ)


@pytest.mark.parametrize("charset", OTHERS)
def test_a_form_in_another_charset_is_refused(charset: str) -> None:
    for kind, body in FORMS.items():
        form = request(f"{kind}; charset={charset}", body)

        with pytest.raises(BadRequest):
            _ = form.POST

        assert not form.POST  # as often as error pages ask


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", '; charset="UTF-8"', "; charset=utf8"])
def test_a_form_in_utf_8_is_read(charset: str) -> None:
    for kind, body in FORMS.items():
        assert request(f"{kind}{charset}", body).POST["n"] == "ü\\ud800"


@pytest.mark.parametrize("charset", OTHERS)
def test_an_address_is_read_in_utf_8_whatever_the_body_is(charset: str) -> None:
    read = request(f"application/json; charset={charset}", b"{}", "n=%C3%BC")

    assert (read.GET["n"], dict(read.POST), read.content_type) == ("ü", {}, "application/json")


def test_the_site_takes_its_requests_so() -> None:
    assert wsgi.request_class is Utf8WSGIRequest
    assert asgi.request_class is Utf8ASGIRequest
