"""NMI's XML, read with suspicion: no DTD, so no entities; bounded in size, depth and elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from funnel.payments.nmi.exceptions import NmiAnswerError

_MAX_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 8
_MAX_ELEMENTS: Final = 10_000


@dataclass(kw_only=True, repr=False)
class Element:
    """One element. ``text`` is its own, not its children's. No repr: records name stored cards."""

    name: str
    parts: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What stands in the element itself, without spaces around it."""
        return "".join(self.parts).strip()

    def all(self, name: str) -> list[Element]:
        """Return the children of a name."""
        return [child for child in self.children if child.name == name]

    def said(self, name: str) -> str:
        """Return the text of the only child of a name; empty if it is missing or not the only."""
        found = self.all(name)
        return found[0].text if len(found) == 1 else ""


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, _attributes: Any) -> None:
        self._count += 1
        if len(self._open) >= _MAX_DEPTH or self._count > _MAX_ELEMENTS:
            raise NmiAnswerError
        element = Element(name=name)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        self._open[-1].parts.append(text)

    def refuse(self, *_: Any) -> None:
        raise NmiAnswerError


def parse(body: bytes) -> Element:
    """Return the document's root.

    Raises:
        NmiAnswerError: it is no XML that NMI would send.

    """
    if len(body) > _MAX_BYTES:
        raise NmiAnswerError
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    # Entities and what they read from elsewhere are declared in a DTD; NMI has none.
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError):
        failed = True  # the parser's error quotes the document's text; it goes no further
    else:
        failed = False
    if failed or builder.root is None:
        raise NmiAnswerError
    return builder.root
