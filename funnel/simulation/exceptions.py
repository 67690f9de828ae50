"""What can be wrong with a simulation before it begins."""


class SimulationError(Exception):
    """The shoppers cannot be simulated so."""

    def __str__(self) -> str:
        return " ".join(str(each) for each in self.args) or str(self.__doc__)


class NotLoopbackError(SimulationError):
    """Shoppers are only simulated on this machine: name a loopback address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} is not on this machine. {self.__doc__}")
