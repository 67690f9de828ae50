"""``manage.py migration``: where each endpoint is, and moving it there and back."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError

from legacy_adapters.exceptions import LegacyAdaptersError, SourceUnavailableError
from legacy_adapters.management.migrating import planning
from legacy_adapters.management.migrating.options import actor_of, add_actions, endpoints_of
from legacy_adapters.management.migrating.overview import status_lines
from legacy_adapters.management.migrating.results import change_json, change_lines, history_lines
from legacy_adapters.management.migrating.retiring import Retiring
from legacy_adapters.migration import operating
from legacy_adapters.migration.gates.gate import GatesShutError
from legacy_adapters.migration.stages import store
from legacy_adapters.models import StageChange
from legacy_adapters.tables import rows
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.migration.gates.gate import Gate
    from legacy_adapters.migration.operating import Plan
    from legacy_adapters.migration.stages.names import Endpoint

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
        plans = [self.plan_of(each, options) for each in endpoints_of(options)]
        if options["json"]:
            self.print_json([self.plan_json(each) for each in plans])
        else:
            for each in plans:
                self.tell_plan(each)
        shut = [gate for each in plans for gate in each.gates if not gate.is_open]
        if shut:
            raise CommandError(refusal(shut))

    def advance(self, options: dict[str, Any]) -> None:
        """Move forward, those that are furthest behind first; or nothing, if any gate is shut."""
        tiers = get_tiers()
        found = sorted(endpoints_of(options), key=lambda each: self.place(each).stage.rank)
        for each in found:
            shut = [gate for gate in self.plan_of(each, options).gates if not gate.is_open]
            if shut:
                raise GatesShutError(shut)
        self.move(operating.advance, found, options, tiers=tiers)

    def rollback(self, options: dict[str, Any]) -> None:
        """Move back, those that are furthest ahead first."""
        found = sorted(endpoints_of(options), key=lambda each: -self.place(each).stage.rank)
        self.move(operating.rollback, found, options, tiers=get_tiers())

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

    def place(self, endpoint: Endpoint) -> Any:
        """Return where an endpoint is."""
        return store.read(get_tiers().database).place(endpoint)

    def plan_of(self, endpoint: Endpoint, options: dict[str, Any]) -> Plan:
        """Ask what a move would do."""
        where = {"stage": options["stage"], "percent": options["percent"]}
        return operating.plan(get_tiers(), endpoint, **where)

    def move(
        self,
        act: Callable[..., StageChange],
        endpoints: list[Endpoint],
        options: dict[str, Any],
        **given: Any,
    ) -> None:
        """Move one after the other; those that were moved are told even if one is refused."""
        done: list[StageChange] = []
        where = {"stage": options["stage"], "percent": options["percent"]}
        try:
            for each in endpoints:
                done.append(
                    act(
                        given["tiers"],
                        each,
                        **where,
                        actor=actor_of(options),
                        reason=options["reason"],
                    )
                )
                if not options["json"]:
                    self.print_lines(change_lines(done[-1], columns=columns()))
        finally:
            if options["json"]:
                self.print_json([change_json(each) for each in done])

    def hold(self, act: Callable[..., Any], options: dict[str, Any], text: str) -> None:
        """Pause or resume."""
        found = endpoints_of(options)
        for each in found:
            act(get_tiers(), each, actor=actor_of(options), reason=options["reason"])
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
        return {
            "endpoint": plan.endpoint,
            "before": _place_json(plan.before),
            "after": _place_json(plan.after),
            "allowed": plan.is_allowed,
            "gates": [each.to_json() for each in plan.gates],
            "sessions": [each.to_json() for each in found],
        }

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


def _place_json(place: Any) -> dict[str, Any]:
    return {"stage": place.stage, "percent": float(place.percent)}
