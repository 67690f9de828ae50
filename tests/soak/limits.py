"""What the processes are given or held to, known to them and to who judges them."""

from typing import Final

L1_MAX_ENTRIES: Final = 100
# When Redis has failed, the relay goes back by the bound on age and a little more.
RELAY_SECONDS: Final = 120
