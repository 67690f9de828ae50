"""``python -m tests.soak`` writes the figures of build/soak.json into docs/reference/soak.md."""

from __future__ import annotations

import json
import sys

from tests.soak.report import BUILD, PAGE, ROOT, in_docs


def main() -> int:
    """Write them; 1 if there are none."""
    if not BUILD.exists():
        print("There is no build/soak.json: run make soak first.", file=sys.stderr)
        return 1
    found = json.loads(BUILD.read_text(encoding="utf-8"))
    PAGE.write_text(in_docs(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"Wrote {found['seconds']:.0f} s of figures into {PAGE.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
