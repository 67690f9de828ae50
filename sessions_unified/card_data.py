"""Card data where none belongs: numbers that a card may have, and fields named after its secrets.

What counts as a number, in text: 13 to 19 digits (ISO/IEC 7812-1) of any script, valid by Luhn,
which stand together or are parted as people part them: by up to four signs that are neither letter
nor digit. Longer rows of digits are none, but one that is grouped as cards are printed is found
among other groups ("4111 1111 1111 1111 12/27"). In JSON numbers only those that begin with 2 to 6,
as payment cards do: ids and microseconds begin otherwise.

Not taken for one: 13 digits that begin with 1 (milliseconds since 1970; of that length only Visa
ever issued any, with a 4); a date written year first (no network issues 19… or 20…); a telephone
number with its ``+`` or ``00`` (E.164: 15 digits at most); digits inside of a long hexadecimal
word or a UUID. One number in ten is valid by Luhn, so each of these would refuse honest shoppers.

Field names are PCI DSS' sensitive authentication data (requirement 3.3.1: card verification code,
track, PIN) and the number's own usual names, however they are written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from sessions_unified.exceptions import CardDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

REMOVED: Final = "[card data removed]"
"""What `mask_card_data` leaves of a secret."""

_SHORTEST: Final = 13
_LONGEST: Final = 19
_E164: Final = 15
_SMALLEST: Final = 10**12  # what is below has fewer digits than any card
_EXACT: Final = 2**53  # a larger float has lost digits: nobody typed it
_MAX_DEPTH: Final = 100
_NUMBERS: Final = (int, float, Decimal)
_MAX_PATH: Final = 200
_FEW: Final = 32  # what is remembered of names must stay small
_SHORT: Final = 64  # and a browser's name is as long as it likes

# Decides for nearly every text, in C: twelve digits with little between them, and one more.
_WORTH_A_LOOK: Final = re.compile(r"(?:\d[\W_]{0,4}){12}\d")
_GROUP: Final = re.compile(r"[0-9]+")
_GAP: Final = re.compile(r"[\W_]{1,4}")
_HEX_WORD: Final = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9A-Za-z])|[0-9a-f]{24,}",
    re.IGNORECASE,
)
_HEX_LETTERS: Final = 4
_YEAR_FIRST: Final = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
# As cards are printed: most, those of 19 digits, American Express, Diners Club, Visa's old ones.
_GROUPINGS: Final = ((4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 4, 1))
_FIRST_GROUP: Final = 4
_ISSUERS: Final = frozenset("23456")
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_SECRET_ALONE: Final = (
    *("cvv", "cvv2", "cvc", "cvc2", "cvn", "cvn2", "csc", "cav", "cav2", "pan", "pinblock"),
    *("securitycode", "securitycodes", "verificationvalue", "primaryaccountnumber"),
    *("track1", "track2", "track1data", "track2data", "trackdata", "magstripe"),
)
_SECRET_OF_A_CARD: Final = (
    *("number", "numbers", "no", "num", "code", "codes", "pin", "cid"),
    *("verification", "verificationcode", "verificationnumber"),
)
_CARD: Final = ("card", "cc", "creditcard", "debitcard", "paymentcard", "bankcard")
_NAMES: Final = frozenset(
    {
        *_SECRET_ALONE,
        *(f"{card}{rest}" for card, rest in product(_CARD, _SECRET_ALONE + _SECRET_OF_A_CARD)),
    }
)
# Safe to find anywhere in a name: no ordinary word holds them.
_TELLING: Final = ("cvv", "cvc2", "cardcvc", "securitycode", "cardnumber", "ccnumber")
_HARMLESS: Final = re.compile("gift|loyalty|member|last4|lastfour|token")
_SHORT_CODE: Final = re.compile(r"\s*\d{3,4}\s*")


class Span(NamedTuple):
    """Where a number is in a text."""

    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class _Chain:
    """Groups of digits with little between them.

    Attributes:
        text: with ASCII digits.
        groups: where each is.
        gaps: what is between them.

    """

    text: str
    groups: Sequence[Span]
    gaps: Sequence[str]


def find_card_data(value: Any, path: str = "") -> str | None:
    """Return the path (``customer.notes[0]``) of the first card data in JSON; None: there is none.

    Keys are looked at as text and as names. ``path`` is where ``value`` is itself.
    """
    return None if _is_plainly_clear(value, 0) else next(_findings(value, path, 0), None)


def refuse_card_data(value: Any, path: str = "") -> None:
    """Let pass only JSON without card data.

    Raises:
        CardDataError: it names the field, never what is in it.

    """
    found = find_card_data(value, path)
    if found is not None:
        message = f"{found or 'body'}: {CardDataError.__doc__}"
        raise CardDataError(message, field=found)


def mask_numbers(text: str, mask: str | None = None) -> str:
    """Return text without card numbers: ``mask`` for each, or its first six and last four digits.

    That much of a number may be kept (PCI DSS, requirement 3.4.1).
    """
    parts, end = [], 0
    for span in numbers_in(text):
        number = _ascii_digits(text[span.start : span.end])
        digits = "".join(_GROUP.findall(number))
        kept = f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}" if mask is None else mask
        parts += [text[end : span.start], kept]
        end = span.end
    return "".join([*parts, text[end:]])


def mask_card_data(value: Any) -> Any:
    """Return plain JSON (objects, lists, scalars) without card data.

    Of numbers the first six and last four digits stay; of what is named like a secret nothing.
    """
    return value if find_card_data(value) is None else _masked(value)


def _masked(value: Any) -> Any:
    # Looked for once, above all of it: at each level again, deep JSON would take minutes.
    if isinstance(value, Mapping):
        return {
            mask_numbers(str(name)): REMOVED
            if item is not None and is_secret_name(str(name), item)
            else _masked(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    if not _is_one(value):
        return value
    return mask_numbers(str(int(value)) if isinstance(value, float | Decimal) else str(value))


def is_secret_name(name: str, value: Any = None) -> bool:
    """Tell whether a field of this name holds card data by its name alone.

    ``cid`` is many things: it counts with a value that looks like a code of three or four digits.
    """
    plain = "".join(each for each in unicodedata.normalize("NFKC", name).lower() if each.isalnum())
    if plain in _NAMES:
        return True
    if plain == "cid":
        return not isinstance(value, bool) and _SHORT_CODE.fullmatch(str(value)) is not None
    is_telling = any(word in plain for word in _TELLING)
    return is_telling and _HARMLESS.search(plain) is None


def is_number(value: Any) -> bool:
    """Tell whether a JSON number is one that a card may have."""
    if isinstance(value, bool) or (isinstance(value, Decimal) and not value.is_finite()):
        return False
    most = _EXACT if isinstance(value, float) else 10**_LONGEST
    # Put so that NaN, which compares with nothing, is none either. Not by abs(): of a decimal with
    # a huge exponent it overflows.
    if not -most < value < most or value != int(value):
        return False
    digits = str(abs(int(value)))
    return digits[0] in _ISSUERS and _is_card(digits)


def numbers_in(text: str) -> Iterator[Span]:
    """Yield where numbers are, in their order; in time linear in the text's length."""
    text = _ascii_digits(text)
    if _WORTH_A_LOOK.search(text) is None:
        return
    for chain in _chains(_HEX_WORD.sub(_blank, text)):
        yield from _in_chain(chain)


def _is_plainly_clear(value: Any, depth: int) -> bool:
    """Tell whether there is nothing that needs a closer look: so it is with nearly every write.

    No path is put together and no number is read; what is not plainly clear may still be clear.
    """
    if isinstance(value, str):
        return len(value) < _SHORTEST or _WORTH_A_LOOK.search(_ascii_digits(value)) is None
    if value is None or isinstance(value, _NUMBERS):
        return _is_plain_number(value)
    if depth >= _MAX_DEPTH:
        return False
    if not isinstance(value, dict) and isinstance(value, msgspec.Struct):
        value = msgspec.structs.astuple(value)
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101  (a dict tells faster)
        is_small = len("".join(map(str, value))) <= _FEW * _SHORT
        tell = _are_plain_names if is_small else _are_plain_names.__wrapped__
        return tell(tuple(value)) and _are_plainly_clear(value.values(), depth + 1)
    return isinstance(value, list | tuple) and _are_plainly_clear(value, depth + 1)


def _are_plainly_clear(values: Iterable[Any], depth: int) -> bool:
    # A loop, and no call for what is short: every value of every session comes by here.
    for value in values:
        kind = type(value)
        if kind is str:
            if len(value) < _SHORTEST:
                continue
            if value.isascii() and _WORTH_A_LOOK.search(value) is None:
                continue
        elif (kind is int or kind is Decimal or value is None) and _is_plain_number(value):
            continue
        if not _is_plainly_clear(value, depth):
            return False
    return True


def _is_plain_number(value: float | Decimal | None) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and -_SMALLEST < value < _SMALLEST  # NaN cannot be compared
    return value is None or -_SMALLEST < value < _SMALLEST


@lru_cache(maxsize=1024)
def _are_plain_names(names: tuple[Any, ...]) -> bool:
    """Tell it of an object's names; objects of one kind have the same ones, in the same order."""
    return all(map(_is_plain_name, map(str, names)))


def _is_plain_name(name: str) -> bool:
    """Tell whether a field's name says nothing by itself, whatever its value is."""
    return (_is_plain if len(name) <= _SHORT else _is_plain.__wrapped__)(name)


@lru_cache(maxsize=1024)
def _is_plain(name: str) -> bool:
    return not is_secret_name(name, "000") and _is_plainly_clear(name, 0)


def _findings(value: Any, path: str, depth: int) -> Iterator[str]:
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping | list | tuple):
        # Nobody means to nest so deeply, and it must not be a place to hide.
        yield from _inside(value, path, depth + 1) if depth < _MAX_DEPTH else (path,)
    elif _is_one(value):
        yield path


def _is_one(value: Any) -> bool:
    if isinstance(value, str):
        return next(numbers_in(value), None) is not None
    return isinstance(value, int | float | Decimal) and is_number(value)


def _inside(value: Any, path: str, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _in_member(str(name), item, path, depth)
    else:
        for position, item in enumerate(value):
            yield from _findings(item, f"{path}[{position}]", depth)


def _in_member(name: str, item: Any, path: str, depth: int) -> Iterator[str]:
    # A name may hold a number itself. In ASCII, so that no surrogate goes into an answer.
    shown = ascii(mask_numbers(name, "[card number]"))[1:-1]
    deeper = f"{path}.{shown}".lstrip(".")[:_MAX_PATH]
    if _is_one(name) or (item is not None and is_secret_name(name, item)):
        yield deeper
    yield from _findings(item, deeper, depth)


def _ascii_digits(text: str) -> str:
    """Return text of the same length with the digits of other scripts as 0 to 9."""
    return text if text.isascii() else text.translate(_DIGITS)


class _Digits(dict[int, str]):
    def __missing__(self, code: int) -> str:
        digit = unicodedata.digit(chr(code), None)
        if digit is None:
            raise LookupError
        return str(digit)


_DIGITS: Final = _Digits()


def _blank(found: re.Match[str]) -> str:
    """Return a word of the same length that is no digit, where it is an id and no number."""
    word = found[0]
    is_id = "-" in word or sum(each.isalpha() for each in word) >= _HEX_LETTERS
    return "x" * len(word) if is_id else word


def _chains(text: str) -> Iterator[_Chain]:
    groups: list[Span] = []
    gaps: list[str] = []
    for found in _GROUP.finditer(text):
        gap = text[groups[-1].end : found.start()] if groups else ""
        if groups and _GAP.fullmatch(gap[:5]) is None:
            yield _Chain(text=text, groups=groups, gaps=gaps)
            groups, gaps = [], []
        elif groups:
            gaps.append(gap)
        groups.append(Span(found.start(), found.end()))
    if groups:
        yield _Chain(text=text, groups=groups, gaps=gaps)


def _in_chain(chain: _Chain) -> Iterator[Span]:
    """Yield the numbers of one chain, none of them twice."""
    end = -1
    for first, last in sorted(_candidates(chain)):
        start = chain.groups[first].start
        if start < end or not _is_number_at(chain, first, last):
            continue
        end = chain.groups[last].end
        yield Span(start, end)


def _candidates(chain: _Chain) -> Iterator[tuple[int, int]]:
    """Yield which groups, from the first to the last, may be one number together."""
    sizes = [span.end - span.start for span in chain.groups]
    for position, size in enumerate(sizes):
        if _SHORTEST <= size <= _LONGEST:
            yield position, position
        for grouping in _GROUPINGS if size == _FIRST_GROUP else ():
            if tuple(sizes[position : position + len(grouping)]) == grouping:
                yield position, position + len(grouping) - 1
    whole = (0, len(sizes) - 1)
    for first, last in {whole, *_stretches(chain.gaps), *_stretches(sizes)}:
        last = min(last, len(sizes) - 1)  # noqa: PLW2901  (a stretch of gaps has a group more)
        is_long_enough = _SHORTEST <= sum(sizes[first : last + 1]) <= _LONGEST
        if last > first and is_long_enough and not _is_glued(chain, first, last):
            yield first, last


def _stretches(values: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Yield the longest stretches of equal values; of gaps, with the group that follows."""
    first = 0
    extra = 1 if values and isinstance(values[0], str) else 0
    for position in range(1, len(values) + 1):
        if position == len(values) or values[position] != values[first]:
            yield first, position - 1 + extra
            first = position


def _is_glued(chain: _Chain, first: int, last: int) -> bool:
    """Tell whether the groups are the middle of a word: of an id, not of a number."""
    before = chain.text[chain.groups[first].start - 1 : chain.groups[first].start]
    after = chain.text[chain.groups[last].end : chain.groups[last].end + 1]
    return before.isalpha() or after.isalpha()


def _is_number_at(chain: _Chain, first: int, last: int) -> bool:
    text = chain.text
    digits = "".join(text[span.start : span.end] for span in chain.groups[first : last + 1])
    if not _is_card(digits) or _YEAR_FIRST.match(digits):
        return False
    if digits.startswith("1") and len(digits) == _SHORTEST:
        return False
    before = text[chain.groups[first].start - 1 : chain.groups[first].start]
    is_telephone = before == "+" or digits.startswith("00")
    return not (is_telephone and len(digits) <= _E164)


def _is_card(digits: str) -> bool:
    """Tell whether 13 to 19 digits hold by Luhn (ISO/IEC 7812-1, annex B)."""
    if not _SHORTEST <= len(digits) <= _LONGEST:
        return False
    numbers = [int(digit) for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(_DOUBLED[each] for each in numbers[1::2])) % 10 == 0
