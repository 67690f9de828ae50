"""The rules by which one session is merged out of several stores' copies."""

from __future__ import annotations

from docs.generators.markdown import table


def rules_block() -> str:
    """Return the table of the rules, a field a row."""
    from legacy_adapters.merging.rules import RULES  # noqa: PLC0415

    rows = (
        (
            f"`{field}`",
            f"`{rule.name}`",
            rule.text,
            rule.contradiction.text if rule.contradiction else "",
            "compared" if rule.claims else "",
        )
        for field, rule in RULES.items()
    )
    return table(("Field", "Rule", "Value", "If trusted copies differ", "A browser's word"), rows)


def trust_block() -> str:
    """Return the table of the stores, the most trusted first."""
    from legacy_adapters.stores import Store  # noqa: PLC0415

    rows = (
        (str(each.rank + 1), f"`{each}`", "trusted" if each.is_trusted else "compared")
        for each in Store
    )
    return table(("", "Copy", "Its word is"), rows)
