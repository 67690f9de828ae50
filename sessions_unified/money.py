"""Amounts: exact decimals in a currency that has its own exponent (ISO 4217)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

# Currencies whose exponent is not 2 (ISO 4217, table A.1).
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENTS: Final = dict.fromkeys(_WHOLE.split(), 0) | dict.fromkeys(_THOUSANDTHS.split(), 3)


def exponent(currency: str) -> int:
    """Return how many decimals amounts of ``currency`` have."""
    return _EXPONENTS.get(currency, 2)


def quantize(amount: Decimal, currency: str) -> Decimal:
    """Return ``amount`` with exactly its currency's decimals, halves rounded up."""
    return amount.quantize(_unit(currency), rounding=ROUND_HALF_UP)


@lru_cache(maxsize=256)
def _unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-exponent(currency))
