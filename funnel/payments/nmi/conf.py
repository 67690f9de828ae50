"""What the gateway needs from the shop's settings: one typed view of ``FUNNEL["NMI"]``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from funnel.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Sequence

# No user, query, fragment, backslash or space: every parser finds the same host in what is left.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
    r"(?:/[A-Za-z0-9._~/-]*)?"
)


@dataclass(frozen=True, kw_only=True)
class NmiConf:
    """What a shop may set in ``FUNNEL["NMI"]``. Its repr shows no secret.

    Attributes:
        URL: where ``transact.php`` and ``query.php`` are; HTTPS, but for loopback hosts.
        SECURITY_KEY: the merchant's private key.
        WEBHOOK_KEYS: what webhooks may be signed with; several while one is replaced.
        TOKENIZATION_KEY: the merchant's public key, for the card form.
        COLLECT_URL: the script that turns a card into a payment token in the browser.
        TIMEOUT_SECONDS: the time of one whole call, from its first connection to its last byte.
        UPSELL_DUP_SECONDS: for how long NMI refuses an equal charge of a stored card. 0: never;
            a sale is sent once anyway, and an upsell may cost what the order did. None: as set
            at NMI.

    """

    URL: str = "https://secure.nmi.com/api/"
    SECURITY_KEY: str = field(default="", repr=False)
    WEBHOOK_KEYS: Sequence[str] = field(default=(), repr=False)
    TOKENIZATION_KEY: str = ""
    COLLECT_URL: str = "https://secure.nmi.com/token/Collect.js"
    TIMEOUT_SECONDS: float = 25
    UPSELL_DUP_SECONDS: int | None = 0

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way to ``URL`` can read along: HTTPS, or this very machine."""
        parts = _URL.fullmatch(self.URL)
        if parts is None:
            return False
        return parts["scheme"] == "https" or _is_loopback(parts["host"].strip("[]"))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def get_nmi_conf() -> NmiConf:
    """Return the settings as they are now."""
    return NmiConf(**get_conf().NMI)
