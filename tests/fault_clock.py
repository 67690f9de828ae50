"""A host whose wall clock is wrong: for every Python code of this process, the core's included.

No root, no C compiler and no libfaketime are needed, so it is not the kernel's clock that is moved
but what Python reads of it: ``time.time`` and its kin, and ``datetime.now``. The monotonic clocks
stay right, as they do on a host whose wall clock is set.
"""

import ctypes
import gc
import time
from datetime import datetime, tzinfo


def shift_wall_clock(seconds: float) -> None:
    """Set this process's wall clock ahead; below zero: back."""
    true_time, true_ns, gmtime, localtime = time.time, time.time_ns, time.gmtime, time.localtime
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_ns() + int(seconds * 1e9)
    time.gmtime = lambda at=None: gmtime(time.time() if at is None else at)
    time.localtime = lambda at=None: localtime(time.time() if at is None else at)

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return cls.fromtimestamp(time.time(), tz)

    # A class of C refuses new attributes, but its namespace can be had. A subclass in its place
    # would not do: msgspec and psycopg make objects of the class itself.
    namespace = gc.get_referents(datetime.__dict__)[0]
    namespace["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
