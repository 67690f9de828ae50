"""A verification's report in words, for whoever runs it late at night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from legacy_adapters.verifying.findings import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from legacy_adapters.verifying.findings import Finding, Report
    from legacy_adapters.verifying.scope import Scope

_LONGEST_VALUE: Final = 60
_NOTHING: Final = "-"

_SUMS: Final = {
    Kind.AGREES: "say the same",
    Kind.TRANSIENT: "differed for a moment, and no longer do",
    Kind.DECIDED: "differ, as a person has decided",
    Kind.DELETED: "deleted here, and stay so",
    Kind.UNREADABLE: "unreadable: no session can be made of them",
    Kind.DIFFERS: "differ",
    Kind.MISSING: "missing here",
    Kind.GONE: "gone there: they came from this store, and it has them no longer",
}
_TITLES: Final = {
    Kind.DIFFERS: "Differ (here → there; personal data masked)",
    Kind.MISSING: "Missing here",
    Kind.GONE: "Gone there",
    Kind.UNREADABLE: "Unreadable (left in the legacy store)",
}


class Line(NamedTuple):
    """One line; ``look`` is the name of a style of Django's commands, if it has one."""

    text: str
    look: str = ""


def report_lines(report: Report, *, source: str, scope: Scope) -> Iterator[Line]:
    """Yield the sums, then the first findings of each kind."""
    if not report.counts:
        yield Line(f"Nothing to compare: {source} has no such records.")
    else:
        drawn = "" if scope.sample is None else f", a sample (--seed {scope.seed} draws it again)"
        yield Line(f"Compared {report.read:,} records of {source}{drawn}:")
        width = max(len(f"{number:,}") for number in report.counts.values())
        for kind, text in _SUMS.items():
            if report.counts[kind]:
                yield Line(f"  {report.counts[kind]:>{width},} {text}")
        for kind, title in _TITLES.items():
            yield from _named(title, report.findings.get(kind, []), report.counts[kind])
        if not report.disagreements:
            yield Line("Both sides agree.", "SUCCESS")
    if not scope.is_full:
        yield Line("What the old shop has deleted is found by a run over all records only.")


def advice(report: Report, *, source: str) -> str:
    """Return what to do next, for each kind of disagreement that there is."""
    said = [f"{report.disagreements:,} disagree."]
    if report.counts[Kind.DIFFERS]:
        said.append(
            "Differ: inspect_session ID shows both sides. A backfill takes over what is newer "
            "there, unless the session has changed here too."
        )
    if report.counts[Kind.MISSING]:
        said.append(f"Missing here: backfill_sessions --source {source} brings them over.")
    if report.counts[Kind.GONE]:
        said.append("Gone there: the old shop has deleted them. Delete them here too, or keep.")
    return "\n  ".join(said)


def _named(title: str, found: list[Finding], number: int) -> Iterator[Line]:
    if not found:
        return
    yield Line(f"{title}:", "WARNING")
    for each in found:
        said = each.reason or "; ".join(_evidence(each))
        yield Line(f"  {each.id or '(no id)'}{': ' if said else ''}{said}")
    if number > len(found):
        yield Line(f"  … and {number - len(found):,} more (--show names more of them)")


def _evidence(finding: Finding) -> Iterator[str]:
    for each in finding.evidence:
        legacy: Mapping[str, Any] = each["legacy"]
        here, there = each["unified"], next(iter(legacy.values()), None)
        if isinstance(here, dict) and isinstance(there, dict):
            for name in here | there:
                if here.get(name) != there.get(name):
                    yield _change(f"{each['field']}.{name}", here.get(name), there.get(name))
        else:
            yield _change(each["field"], here, there)


def _change(name: str, here: Any, there: Any) -> str:
    return f"{name} {_value(here)} → {_value(there)}"


def _value(value: Any) -> str:
    said = _plain(value)
    said = "".join(char if char.isprintable() else "·" for char in said)
    return said if len(said) <= _LONGEST_VALUE else f"{said[: _LONGEST_VALUE - 1]}…"


def _plain(value: Any) -> str:
    """Return a value in the fewest words: ``2 SOIL 12.50, 1 LAMP 89.00``."""
    if value is None or value in ([], {}, ""):
        return _NOTHING
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, dict):
        return " ".join(map(_plain, value.values()))
    return str(value)
