"""Every target has its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from funnel.local.exceptions import LocalError
from tests.benchmarks import __main__ as command
from tests.benchmarks import pinning, results
from tests.benchmarks.catalogue import ROWS

TARGETS = {
    "l1_hit": 0.15,
    "l1_hit_vs_cached_db": 0.03,
    "l2_hit": 1.25,
    "l2_hit_vs_django_redis": 1.0,
    "l3_read": 1.8,
    "update": 1.0,
    "update_vs_best": 1.3,
    "update_vs_cached_db": 0.5,
    "create": 1.4,
    "token_open": 1.3,
    "http_get_l1": 1.15,
    "http_get_l2": 1.15,
    "upsell_lookups": 0.5,
    "invalidation": 1.3,
    "expire": 1.2,
    "purge": 1.1,
    "backfill": 2.5,
    "complete_overhead": 1.05,
    "shadow_overhead": 1.1,
    **{
        f"stage_{stage}_{what}": None
        for stage in ("off", "dual_write", "shadow", "live", "ramp_down")
        for what in ("get", "update")
    },
    "growth": 1.2,
    "growth_get": 1.2,
    "growth_update": 1.2,
}


def test_the_rows_and_their_targets() -> None:
    assert {name: row.target for name, row in ROWS.items()} == TARGETS


def test_only_growth_must_be_asked_for_by_name() -> None:
    assert {name for name, row in ROWS.items() if row.is_long} == {
        *("growth", "growth_get", "growth_update")
    }


def test_without_names_all_others_are_measured() -> None:
    assert {each.name for each in command._wanted([], ROWS)} == set(TARGETS) - {
        *("growth", "growth_get", "growth_update")
    }


def test_rows_are_measured_in_the_order_of_the_table() -> None:
    wanted = command._wanted(["growth", "update", "l1_hit"], ROWS)

    assert [each.name for each in wanted] == ["l1_hit", "update", "growth"]


def test_an_unknown_row_is_refused_by_name() -> None:
    with pytest.raises(LocalError, match="no row l1_miss"):
        command._wanted(["l1_miss"], ROWS)


def test_rows_that_empty_the_tables_come_last() -> None:
    last = ["expire", "purge", "backfill", "growth", "growth_get", "growth_update"]

    assert list(ROWS)[-len(last) :] == last


@pytest.mark.parametrize("name", TARGETS)
def test_the_page_names_every_row(name: str) -> None:
    assert f"`{name}`" in command.PAGE.read_text(encoding="utf-8")


def test_the_page_has_its_measured_block() -> None:
    page = command.PAGE.read_text(encoding="utf-8")

    assert page.count(results.BEGIN) == page.count(results.END) == 1
    assert page.index(results.BEGIN) < page.index(results.END)


def test_make_bench_growth_measures_growth() -> None:
    makefile = (Path(command.ROOT) / "Makefile").read_text(encoding="utf-8")

    assert "-m tests.benchmarks growth growth_get growth_update $(ARGS)" in makefile


def test_without_figures_there_is_nothing_to_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "BUILD", tmp_path)

    assert command.main(["--write-docs"]) == 1
    assert "run make bench first" in capsys.readouterr().err


def test_a_system_that_cannot_pin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")

    assert pinning.pin().startswith("not pinned")
    assert not pinning.pinned([1])
