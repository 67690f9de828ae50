"""Asking what may hang."""

from __future__ import annotations

import threading
import time

import pytest

from sessions_unified.monitoring.measuring import Kept, within
from tests.managing import wait_for


class Question:
    """Counts how often it is asked; waits while it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> int:
        self.asked += 1
        self.may_answer.wait(60)
        return self.asked


def test_what_answers_in_time_is_returned() -> None:
    assert within(1, lambda: 7) == 7


def test_what_raises_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        within(1, lambda: 1 // 0)


def test_what_hangs_is_left_behind() -> None:
    question = Question()
    question.may_answer.clear()

    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        within(0.05, question)
    question.may_answer.set()


def test_an_answer_is_kept_for_all_who_ask() -> None:
    question = Question()
    kept = Kept(question, keep_seconds=10, patience_seconds=1)

    assert [kept.get(), kept.get()] == [1, 1]
    assert question.asked == 1


def test_an_old_answer_is_asked_for_again() -> None:
    kept = Kept(Question(), keep_seconds=0.01, patience_seconds=1)

    first = kept.get()
    time.sleep(0.02)

    assert (first, kept.get()) == (1, 2)


def test_a_question_that_hangs_is_waited_for_once_and_put_once() -> None:
    question = Question()
    question.may_answer.clear()
    kept = Kept(question, keep_seconds=10, patience_seconds=0.3)

    before = time.monotonic()
    answers = [kept.get() for _ in range(5)]
    took = time.monotonic() - before
    question.may_answer.set()

    assert answers == [None] * 5
    assert question.asked == 1
    assert took < 1.2  # each by itself: 1.5 s
    wait_for(lambda: kept.get() == 1)


def test_a_question_that_raises_has_no_answer_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Kept(lambda: 1 // 0, keep_seconds=10, patience_seconds=1)

    assert [kept.get(), kept.get()] == [None, None]
    assert [record.message for record in caplog.records] == [
        "What a probe or a scrape measures could not be measured"
    ]


def test_what_is_forgotten_is_asked_for_again() -> None:
    kept = Kept(Question(), keep_seconds=10, patience_seconds=1)

    first = kept.get()
    kept.forget()

    assert (first, kept.get()) == (1, 2)
