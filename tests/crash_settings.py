"""The settings of a web process that stops at named points: see `tests.paused_gateway`."""

from tests.fault_settings import *  # noqa: F403  (as Django's settings modules extend one another)
from tests.fault_settings import MIDDLEWARE

MIDDLEWARE = ["tests.paused_gateway.pausing_middleware", *MIDDLEWARE]
