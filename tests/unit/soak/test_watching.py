"""What is read of ``/metrics``."""

from __future__ import annotations

from tests.soak.watching import named, parsed

TEXT = """\
# TYPE sessions_unified_reads_total counter
sessions_unified_reads_total{tier="memory",result="hit"} 7.0
# TYPE sessions_unified_l1_entries gauge
sessions_unified_l1_entries 3.0
# TYPE other gauge
other 1.0
"""


def test_our_samples_are_read_with_their_labels() -> None:
    found = parsed(TEXT)

    assert found == {"reads_total{result=hit,tier=memory}": 7, "l1_entries": 3}
    assert {named(each) for each in found} == {"reads_total", "l1_entries"}
