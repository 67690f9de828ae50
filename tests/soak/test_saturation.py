"""``make soak``: ten minutes of shoppers at saturation, with faults throughout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.soak import report
from tests.soak.rig import running_rig
from tests.soak.run import Run, soak

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED", "3"))
# Before that, what fills at the start still weighs too much.
MEMORY_COUNTS_AFTER_SECONDS = 300


@pytest.mark.soak
# A proxy that is closed while clients still come may leave one of their sockets to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ten_minutes_of_faults_lose_nothing_and_revive_nothing(
    server_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def say(text: str) -> None:
        with capfd.disabled():
            print(text, flush=True)

    say(f"\nSoaking for {SECONDS:.0f} s, seed {SEED}.")
    with running_rig(server_dir) as rig:
        found = soak(rig, Run(seconds=SECONDS, seed=SEED), say)
    report.write(found)
    say(f"\n{report.text(found)}\n\nWritten to build/soak.json.")

    judged = {name: each["count"] for name, each in found["verdict"].items()}
    if SECONDS < MEMORY_COUNTS_AFTER_SECONDS:
        del judged["growing_processes"]
    assert not any(judged.values()), judged
    assert found["ages"]["oldest"] <= found["ages"]["bound"]
    assert found["recovery"]["divergences"] == 0
    assert found["recovery"]["seconds"] <= found["limits"]["recovery_seconds"]
    assert found["most"]["relay_lag_seconds"] <= found["limits"]["relay_seconds"]
    assert found["most"]["l1_entries"] <= found["limits"]["l1_entries"]
