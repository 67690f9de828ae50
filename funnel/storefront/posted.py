"""What a page is sent, without card data: it is neither stored nor shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import QueryDict

from sessions_unified.card_data import find_card_data

if TYPE_CHECKING:
    from django.http import HttpRequest


class Posted(QueryDict):
    """Posted fields in which those with card data are empty.

    Attributes:
        refused: their names; "" for a field whose name itself holds a number.

    """

    refused: frozenset[str] = frozenset()


def refuse_card_data(request: HttpRequest) -> None:
    """Empty the posted fields with card data; a form on them says which (`CardDataFreeForm`)."""
    if request.method != "POST":
        return
    fields = list(request.POST.lists())
    refused = {name for name, values in fields if find_card_data({name: values}) is not None}
    if not refused:
        return
    posted = Posted("", mutable=True, encoding=request.POST.encoding)
    for name, values in fields:
        if find_card_data(name) is None:
            posted.setlist(name, [""] if name in refused else list(values))
    posted.refused = frozenset("" if find_card_data(name) else name for name in refused)
    posted._mutable = False  # noqa: SLF001  (as Django makes its own)
    request.POST = posted  # type: ignore[assignment]  # the stubs know an immutable one only
