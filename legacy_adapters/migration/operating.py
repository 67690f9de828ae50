"""What an operator does: look, advance, go back, hold. Every door (commands, admin) comes here."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import InterfaceError, OperationalError

from legacy_adapters.migration import catching_up as leaving
from legacy_adapters.migration.catching_up import UnsettledError, catching_up
from legacy_adapters.migration.gates import fleet
from legacy_adapters.migration.gates.gate import Gate, GatesShutError
from legacy_adapters.migration.gates.order import behind, needed_of_all
from legacy_adapters.migration.planning import (
    ALL,
    MoveRefusedError,
    Plan,
    checked,
    order_of,
    plan,
    planned,
    target,
)
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.moving import (
    MovingTimeoutError,
    OvertakenError,
    move,
    wait_for_writes,
)
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.migration.statuses import EndpointStatus, statuses
from legacy_adapters.models import EndpointStage, StageChange
from legacy_adapters.tables import atomic, rows
from sessions_unified.exceptions import DatabaseUnavailableError
