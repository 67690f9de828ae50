"""Who takes the demo's money: the sandbox inside the shop, or a simulator of NMI beside it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from funnel.local.exceptions import LocalError
from funnel.local.ports import LOOPBACK, free_port, is_free

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SANDBOX: Final = "sandbox"
NMI: Final = "nmi"
CHOICES: Final = (SANDBOX, NMI)
PORT: Final = 8900


def payments_from(environ: Mapping[str, str]) -> str:
    """Return what ``PAYMENTS`` names; nothing is the sandbox.

    Raises:
        LocalError: there is no such choice.

    """
    text = environ.get("PAYMENTS") or SANDBOX
    if text not in CHOICES:
        raise LocalError(f"PAYMENTS={text}: there are {' and '.join(CHOICES)}.")
    return text


@dataclass(frozen=True, kw_only=True)
class LocalNmi:
    """A simulator of NMI on this machine, and the shop's settings for it.

    Attributes:
        port: where it listens.
        books: the file that keeps its books.
        webhook_url: where the shop takes its events.

    """

    port: int
    books: Path
    webhook_url: str

    @classmethod
    def beside(cls, base_url: str, directory: Path) -> LocalNmi:
        """Return one for the shop at ``base_url``, which keeps its books in ``directory``."""
        return cls(
            port=PORT if is_free(PORT) else free_port(),
            books=directory / "nmi-books.jsonl",
            webhook_url=f"{base_url}/api/webhooks/nmi",
        )

    @property
    def url(self) -> str:
        """Where it is, without a final slash."""
        return f"http://{LOOPBACK}:{self.port}"

    def variables(self) -> dict[str, str]:
        """Return the settings' environment variables; the keys are new each time."""
        return {
            "PAYMENT_GATEWAY": "funnel.payments.nmi.NmiGateway",
            "NMI_URL": f"{self.url}/api/",
            "NMI_COLLECT_URL": f"{self.url}/token/Collect.js",
            "NMI_TOKENIZATION_KEY": "simulator-tokenization-key",
            "NMI_SECURITY_KEY": secrets.token_urlsafe(24),
            "NMI_WEBHOOK_KEYS": secrets.token_urlsafe(24),
        }
