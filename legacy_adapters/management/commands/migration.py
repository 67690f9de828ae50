"""``manage.py migration``: where each endpoint is, and moving it there and back."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db.models import Max

from legacy_adapters.exceptions import LegacyAdaptersError, SourceUnavailableError
from legacy_adapters.management.migrating import planning
from legacy_adapters.management.migrating.options import actor_of, add_actions, endpoints_of
from legacy_adapters.management.migrating.overview import status_lines
from legacy_adapters.management.migrating.results import change_json, change_lines, history_lines
from legacy_adapters.management.migrating.retiring import Retiring
from legacy_adapters.migration import fleet
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.gates.gate import GatesShutError
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.names import Stage
from legacy_adapters.migration.steering import operating
from legacy_adapters.models import StageChange
from legacy_adapters.tables import rows
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from legacy_adapters.migration.gates.gate import Gate
    from legacy_adapters.migration.stages.names import Endpoint
    from legacy_adapters.migration.stages.view import Place
    from legacy_adapters.migration.steering.operating import Plan
    from sessions_unified.tiers import Tiers

_POLL_SECONDS: Final = 0.1
CANNOT: Final = 2
"""Nothing could be found out or done: wrong options, or a database that does not answer."""


class Command(BaseCommand):
    """One action; each is a method of its name."""

    help = (
        "Move the shop from its old stores to the unified one, endpoint by endpoint, and back. "
        "Exits with 0 if it was done, 1 if it was refused (a gate is shut, or something is in the "
        "way), and 2 if it could not be found out: wrong options, or a database that does not "
        "answer."
    )

    sleep = staticmethod(time.sleep)
    """How `retire` waits."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what can be done."""
        add_actions(parser)

    def handle(self, *, action: str, **options: Any) -> None:
        """Do it; what was not asked for right, or did not answer, is told in one sentence."""
        act: Callable[[dict[str, Any]], None] = getattr(self, action)
        try:
            act(options)
        except GatesShutError as exc:
            raise CommandError(refusal(exc.gates)) from exc
        except SourceUnavailableError as exc:
            raise CommandError(str(exc), returncode=CANNOT) from exc
        except LegacyAdaptersError as exc:
            raise CommandError(str(exc)) from exc
        except (TierUnavailableError, DatabaseError) as exc:
            text = f"Our database does not answer; nothing was moved: {_first_line(exc)}"
            raise CommandError(text, returncode=CANNOT) from exc
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc), returncode=CANNOT) from exc

    def status(self, options: dict[str, Any]) -> None:
        """Print where everything is."""
        wanted = endpoints_of(options)
        found = [each for each in operating.statuses(get_tiers()) if each.endpoint in wanted]
        if options["json"]:
            self.print_json([each.to_json() for each in found])
        else:
            self.print_lines(status_lines(found, columns=columns()))

    def plan(self, options: dict[str, Any]) -> None:
        """Print what a move would do; fail if a gate is shut."""
        plans = self.plans(options)
        if options["json"]:
            given = {"reason": options["reason"]}
            self.print_json([{**self.plan_json(each), **given} for each in plans])
        else:
            for each in plans:
                self.tell_plan(each)
            if options["reason"]:
                self.stdout.write(f"The history would say: {options['reason']}")
        shut = [gate for each in plans for gate in each.shut]
        if shut:
            raise CommandError(refusal(shut))

    def advance(self, options: dict[str, Any]) -> None:
        """Move forward, those that are furthest behind first; or nothing, if any gate is shut."""
        tiers = get_tiers()
        plans = sorted(
            self.plans(options, is_forward=True), key=lambda each: each.before.stage.rank
        )
        shut = [gate for each in plans for gate in each.shut]
        if shut:
            raise GatesShutError(shut)
        with self.telling(options) as tell:
            for each in plans:
                self.wait_for_processes(tiers, is_first=each is plans[0])
                operating.advance(tiers, each.endpoint, **_where(options), **_who(options))
                tell()

    def rollback(self, options: dict[str, Any]) -> None:
        """Move back, those that are furthest ahead first; one that came back with another stays."""
        tiers = get_tiers()
        places = {each: self.place(each) for each in endpoints_of(options)}
        is_one_back = options["stage"] is None and options["percent"] is None
        refused: list[operating.MoveRefusedError] = []
        with self.telling(options) as tell:
            for each in sorted(places, key=lambda each: -places[each].stage.rank):
                if is_one_back and self.place(each) != places[each]:
                    continue
                try:
                    operating.rollback(tiers, each, **_where(options), **_who(options))
                except operating.MoveRefusedError as exc:
                    refused.append(exc)
                tell()
        if len(refused) == len(places):
            raise refused[0]

    def pause(self, options: dict[str, Any]) -> None:
        """Hold."""
        self.hold(operating.pause, options, "is held where it is, until migration resume.")

    def resume(self, options: dict[str, Any]) -> None:
        """Let go."""
        self.hold(operating.resume, options, "may advance again, where its gates are open.")

    def history(self, options: dict[str, Any]) -> None:
        """Print the last moves."""
        found = rows(StageChange).filter(endpoint__in=endpoints_of(options)).order_by("-id")
        last = list(found[: options["limit"]])
        if options["json"]:
            self.print_json([change_json(each) for each in last])
        elif not last:
            self.stdout.write("Nothing was ever moved.")
        for each in last if not options["json"] else []:
            self.print_lines(history_lines(each, columns=columns()))

    def retire(self, options: dict[str, Any]) -> None:
        """See whether the old stores may go, and let them go as far as asked."""
        Retiring(self, options).run()

    # What the actions share

    def place(self, endpoint: Endpoint) -> Place:
        """Return where an endpoint is."""
        return store.read(get_tiers().database).place(endpoint)

    def plans(self, options: dict[str, Any], *, is_forward: bool = False) -> list[Plan]:
        """Ask what moves would do; of several endpoints those that are there already stay out."""
        found, refused = [], []
        for each in endpoints_of(options):
            try:
                plan = operating.plan(get_tiers(), each, **_where(options))
            except operating.MoveRefusedError as exc:
                refused.append(exc)
                continue
            if plan.is_forward or not is_forward:
                found.append(plan)
            else:
                text = f"{each} is at {plan.before.stage}: that is a move back. Roll back instead."
                refused.append(operating.MoveRefusedError(text))
        if not found:
            raise refused[0]
        return found

    @contextmanager
    def telling(self, options: dict[str, Any]) -> Iterator[Callable[[], None]]:
        """Yield a function that prints what was moved since; another's move with it is told too."""
        last = rows(StageChange).aggregate(last=Max("id"))["last"] or 0
        done: list[StageChange] = []

        def tell() -> None:
            known = done[-1].pk if done else last
            for change in rows(StageChange).filter(pk__gt=known).order_by("pk"):
                done.append(change)
                if not options["json"]:
                    self.print_lines(change_lines(change, columns=columns()))

        try:
            yield tell
        finally:
            if options["json"]:
                self.print_json([change_json(each) for each in done])

    def wait_for_processes(self, tiers: Tiers, *, is_first: bool) -> None:
        """Let the others see the move before, so that its gate is open for the next."""
        deadline = time.monotonic() + get_conf().PROCESS_TIMEOUT_SECONDS
        while not is_first and fleet.lagging(tiers) and time.monotonic() < deadline:
            self.sleep(_POLL_SECONDS)

    def hold(self, act: Callable[..., Any], options: dict[str, Any], text: str) -> None:
        """Pause or resume."""
        found = endpoints_of(options)
        for each in found:
            act(get_tiers(), each, **_who(options))
            if not options["json"]:
                self.stdout.write(f"{each} {text}")
        if options["json"]:
            self.print_json([str(each) for each in found])

    def tell_plan(self, plan: Plan) -> None:
        """Print one plan, with its gates."""
        view = store.read(get_tiers().database)
        self.print_lines(planning.plan_lines(view, plan.endpoint, plan.after))
        for gate in plan.gates:
            style = self.style.SUCCESS if gate.is_open else self.style.ERROR
            mark = style("open" if gate.is_open else "SHUT")
            self.stdout.write(f"  {mark} [{gate.name}] {gate.reason}")

    def plan_json(self, plan: Plan) -> dict[str, Any]:
        """Return one plan for scripts."""
        view = store.read(get_tiers().database)
        found = planning.slices(view, plan.endpoint, plan.after)
        return {**plan.to_json(), "sessions": [each.to_json() for each in found]}

    def print_lines(self, lines: Any) -> None:
        """Print lines."""
        for line in lines:
            self.stdout.write(line)

    def print_json(self, found: Any) -> None:
        """Print one line."""
        self.stdout.write(json.dumps(found, ensure_ascii=False))


def refusal(gates: list[Gate] | tuple[Gate, ...]) -> str:
    """Return why nothing was moved: a line a gate, each once."""
    lines = dict.fromkeys(f"  [{gate.name}] {gate.reason}" for gate in gates)
    many = "gates are" if len(lines) > 1 else "gate is"
    return "\n".join((f"{len(lines)} {many} shut. Nothing was moved.", *lines))


def columns() -> int:
    """Return how wide the terminal is."""
    return shutil.get_terminal_size().columns


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


def _where(options: dict[str, Any]) -> dict[str, Any]:
    stage = options["stage"]
    return {"stage": None if stage is None else Stage(stage), "percent": options["percent"]}


def _who(options: dict[str, Any]) -> dict[str, Any]:
    return {"actor": actor_of(options), "reason": options["reason"]}
