"""Memory: flat, or growing; judged by the slope of what was sampled."""

from __future__ import annotations

from tests.soak.memory import START_SECONDS, TOLERANCE_MB, Memory


def sampled(sizes: list[float], *, pid: int = 1, role: str = "web 0") -> Memory:
    memory = Memory()
    for at, size in enumerate(sizes):
        memory.add(role, pid, at=at, megabytes=size)
    return memory


def test_a_process_that_wavers_is_flat() -> None:
    memory = sampled([100 + at % 3 for at in range(60)])

    (growth,) = memory.growth(began=20, ended=59)

    assert growth.is_flat
    assert abs(growth.grown_mb) < 1


def test_a_process_that_leaks_is_not() -> None:
    leak = TOLERANCE_MB * 1.5 / 39

    (growth,) = sampled([100 + at * leak for at in range(60)]).growth(began=20, ended=59)

    assert not growth.is_flat
    assert growth.first_mb < growth.last_mb == growth.most_mb


def test_a_step_is_not_a_slope() -> None:
    memory = sampled([90.0] * 45 + [99.0] * 15)

    (growth,) = memory.growth(began=20, ended=59)

    assert growth.is_flat
    assert (growth.first_mb, growth.last_mb) == (90, 99)


def test_many_steps_are() -> None:
    memory = sampled([90.0 + 3 * (at // 8) for at in range(60)])

    (growth,) = memory.growth(began=20, ended=59)

    assert not growth.is_flat


def test_what_fills_before_is_not_judged() -> None:
    filling = [50.0 + at for at in range(20)]

    (growth,) = sampled([*filling, *[70.0] * 40]).growth(began=20, ended=59)

    assert growth.is_flat


def test_a_process_that_was_restarted_is_judged_by_its_own_time() -> None:
    memory = sampled([100.0 + at for at in range(30)] + [130.0] * 60)
    for at in range(90, 150):
        memory.add("web 0", 2, at=at, megabytes=100 + at)

    first, second = memory.growth(began=30, ended=149)

    assert (first.seconds, first.is_flat) == (59, True)
    assert (second.seconds, second.is_flat) == (149 - 90 - START_SECONDS, False)


def test_a_process_that_lived_too_short_is_not_judged() -> None:
    memory = sampled([100.0] * 40)

    assert not memory.growth(began=20, ended=120)
    assert memory.most() == {"web 0": 100}


def test_of_a_role_that_was_restarted_the_largest_is_told() -> None:
    memory = sampled([100.0, 120.0])
    memory.add("web 0", 2, at=5, megabytes=90)

    assert memory.most() == {"web 0": 120}
