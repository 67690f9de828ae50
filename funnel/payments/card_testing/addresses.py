"""Where a request comes from: the client's network address, behind none or some proxies of ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# One customer has at least so much of IPv6, and may use another address of it for each request.
_CUSTOMER_BITS: Final = 64


def client_address(meta: Mapping[str, Any], *, trusted_proxies: int) -> str | None:
    """Return the client's address as text, of IPv6 its first 64 bits; None if it is not known.

    ``meta`` is the request's ``META``. Only what the outermost of our own proxies wrote into
    ``X-Forwarded-For`` is read, counted from the right: what is left of it, clients write
    themselves. A request that did not come through all of them is its sender's.
    """
    forwarded = _forwarded(meta.get("HTTP_X_FORWARDED_FOR", ""), trusted_proxies)
    return parse(forwarded) or parse(meta.get("REMOTE_ADDR") or "")


def _forwarded(header: str, trusted_proxies: int) -> str:
    if trusted_proxies < 1:
        return ""
    entries = header.rsplit(",", trusted_proxies)[-trusted_proxies:]
    return entries[0] if len(entries) == trusted_proxies else ""


def parse(text: str) -> str | None:
    """Return an address in the form that is counted; None if the text is none.

    A port, brackets and an IPv6 zone are dropped; IPv4 in IPv6 is IPv4.
    """
    try:
        address = ip_address(_without_port(text.strip()))
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((_without_zone(address), _CUSTOMER_BITS), strict=False))


def _without_port(text: str) -> str:
    if text.startswith("["):
        inside, bracket, port = text[1:].partition("]")
        is_whole = bracket and (not port or _is_port(port.removeprefix(":")))
        return inside if is_whole and ":" in inside else ""
    host, _, port = text.partition(":")
    return host if "." in host and _is_port(port) else text


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _without_zone(address: IPv6Address) -> IPv6Address:
    return IPv6Address(int(address))
