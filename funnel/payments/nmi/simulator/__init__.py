"""A local NMI that speaks the real wire format, with books of its own.

In tests: ``with running_simulator() as sim: sim.url, sim.books, sim.mode("decline", times=1)``;
for people: ``manage.py nmi_simulator``. It uses no database and takes test cards only.
"""

from funnel.payments.nmi.simulator.simulator import Simulator, running_simulator

__all__ = ["Simulator", "running_simulator"]
