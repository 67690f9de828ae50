"""What a simulation came to, as data and as lines for a person at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from funnel.simulation.ledger import Problem
    from funnel.simulation.running import Simulation

_MOST_LISTED: Final = 20


def report(simulation: Simulation, problems: Sequence[Problem]) -> dict[str, Any]:
    """Return the whole of it, to be read by a program."""
    tally = simulation.tally
    begun = sum(tally.kinds.values())
    return {
        "seed": simulation.seed,
        "seconds": round(simulation.seconds, 1),
        "shoppers": begun,
        "rate": round(begun / simulation.seconds, 2) if simulation.seconds else 0.0,
        "sessions": len(simulation.ledger.sessions),
        "kinds": dict(tally.kinds.most_common()),
        "requests": dict(tally.acts.most_common()),
        "answers": dict(sorted(tally.answers.items())),
        "p50_ms": tally.percentile_ms(0.50),
        "p99_ms": tally.percentile_ms(0.99),
        "noted": dict(sorted(tally.noted.items())),
        "late_reads": list(tally.late_reads),
        "unexpected": dict(tally.unexpected.most_common()),
        "examples": dict(tally.examples),
        "problems": [
            {"kind": each.kind, "session": each.session_id, "says": each.says} for each in problems
        ],
    }


def progress(simulation: Simulation) -> str:
    """Return one line on how it goes."""
    tally = simulation.tally
    begun, seconds = sum(tally.kinds.values()), simulation.seconds
    parts = [
        f"{simulation.elapsed_seconds:5.0f} s",
        f"{begun:,} sessions ({begun / seconds:.1f}/s)",
        f"{sum(tally.acts.values()):,} requests: {listed(dict(sorted(tally.answers.items())))}",
        latency(tally.percentile_ms(0.50), tally.percentile_ms(0.99)),
    ]
    wrong = sum(tally.unexpected.values()) + len(simulation.ledger.problems)
    if wrong:
        parts.append(f"{wrong:,} WRONG")
    return "  ".join(parts)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report, a line each."""
    yield f"Shoppers   {found['shoppers']:,} in {found['seconds']:.0f} s ({found['rate']:.1f}/s)"
    yield f"           {listed(found['kinds'])}"
    yield f"Requests   {sum(found['requests'].values()):,}: {listed(found['requests'])}"
    yield f"Answers    {listed(found['answers'])}"
    yield f"Latency    {latency(found['p50_ms'], found['p99_ms'])}"
    if found["noted"]:
        yield f"Also       {listed(found['noted'])}"
    yield from _listing(
        "Reads that lacked what was told before (late, unless listed as wrong too)",
        found["late_reads"],
    )
    yield from _listing("Unexpected", [_surprise(found, text) for text in found["unexpected"]])
    yield from _listing(
        "Wrong",
        [f"{each['kind']}: {each['session']}: {each['says']}" for each in found["problems"]],
    )
    if is_good(found):
        yield f"Nothing was lost: {found['sessions']:,} sessions are as their shoppers were told."


def is_good(found: Mapping[str, Any]) -> bool:
    """Tell whether nothing was lost, and nothing unexpected came."""
    return not found["problems"] and not found["unexpected"]


def listed(counts: Mapping[str, int]) -> str:
    """Return names and their numbers."""
    return ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "none"


def latency(median: float | None, slow: float | None) -> str:
    """Return the two percentiles."""
    if median is None or slow is None:
        return "no answers"
    return f"p50 {median:.0f} ms, p99 {slow:.0f} ms"


def _surprise(found: Mapping[str, Any], text: str) -> str:
    example = found["examples"].get(text)
    where = f" (first: {example})" if example else ""
    return f"{found['unexpected'][text]:,} times {text}{where}"


def _listing(title: str, texts: Sequence[str]) -> Iterator[str]:
    if not texts:
        return
    yield f"{title}:"
    yield from (f"  {text}" for text in texts[:_MOST_LISTED])
    if len(texts) > _MOST_LISTED:
        yield f"  and {len(texts) - _MOST_LISTED:,} more"
