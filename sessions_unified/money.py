"""Amounts: exact decimals in a currency that has its own exponent (ISO 4217)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

# Currencies whose exponent is not 2 (ISO 4217, table A.1).
_EXPONENTS: Final = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


def exponent(currency: str) -> int:
    """Return how many decimals amounts of ``currency`` have."""
    return _EXPONENTS.get(currency, 2)


def quantize(amount: Decimal, currency: str) -> Decimal:
    """Return ``amount`` with exactly its currency's decimals, halves rounded up."""
    return amount.quantize(Decimal(1).scaleb(-exponent(currency)), rounding=ROUND_HALF_UP)
