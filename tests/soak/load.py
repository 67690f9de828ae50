"""The load generator, a process of its own: ``python -m tests.soak.load`` with a JSON of options.

It ends when its standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import json
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.soak.client import Client
from tests.soak.shopping import Shop, Shoppers

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTERS: Final = 24
BOARDS: Final = 8
JOIN_SECONDS: Final = 60


def main(options: str) -> int:
    """Shop with ``threads`` threads at ``bases``, writing records into ``directory``."""
    given = json.loads(options)
    shop = Shop()
    with ExitStack() as files:
        everybody = [_shoppers(number, given, shop, files) for number in range(given["threads"])]
        for _ in range(COUNTERS):
            shop.counters.append(everybody[0].create_for_all())
        for _ in range(BOARDS):
            shop.boards.append(everybody[0].create_for_all())
        threads = [threading.Thread(target=each.run) for each in everybody]
        for thread in threads:
            thread.start()
        print("shopping", flush=True)
        sys.stdin.read()
        shop.stop.set()
        for thread in threads:
            thread.join(JOIN_SECONDS)
    text = json.dumps(_left(shop, everybody))
    Path(given["directory"], "shop.json").write_text(text, encoding="ascii")
    return 0


def _shoppers(number: int, given: dict[str, Any], shop: Shop, files: ExitStack) -> Shoppers:
    path = Path(given["directory"], f"{number}.records")
    return Shoppers(
        number=number,
        seed=given["seed"],
        shop=shop,
        client=Client(bases=given["bases"]),
        records=files.enter_context(path.open("w", encoding="ascii")),
    )


def _left(shop: Shop, everybody: Sequence[Shoppers]) -> dict[str, Any]:
    """Return what is to be looked at afterwards, and the cookies that open it."""
    sessions = [*shop.counters, *shop.boards]
    for shoppers in everybody:
        sessions += shoppers.sample()
    return {
        "counters": [each.id for each in shop.counters],
        "cookies": {each.id: each.cookie for each in sessions},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
