"""What this AWS is like: times and limits that tests may change, and what moto does not keep."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Times in seconds. The defaults are AWS's own where AWS names one."""

    queue_name_blocked: float = 60
    """A deleted queue's name cannot be used for so long (API reference, DeleteQueue)."""
    service_drains: float = 0
    """A deleted service is DRAINING at least so long, and until its last task has stopped."""
    machine_boots: float = 0
    """From launch to the registration of a machine; AWS needs one to three minutes."""
    machine_registers: bool = True
    """False: machines never register, as without a way to ECS or with a wrong profile."""
    notice: float = 120
    """From the notice of interruption to the end of a spot machine."""
    capacity: int = 1_000_000
    """Machines that EC2 has left to give to fleets."""
    spot_vcpus: float = 1_000_000
    """Quota L-34B43A08, which in a new account may be 5."""
    draining_stops_protected: bool = True
    """Whether a DRAINING machine's protected tasks get SIGTERM. AWS names scale-in and
    deployments as what protection is against, not draining; False is the other reading."""
    restart_pause: float = 0.2
    """Between tasks of a service that die; ECS slows down much more."""


@dataclass
class State:
    settings: Settings = field(default_factory=Settings)
    deleted_queues: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """Moment of deletion by account, region, name."""

    def change(self, **settings: Any) -> dict[str, Any]:
        self.settings = replace(self.settings, **settings)
        return asdict(self.settings)

    def reset(self) -> None:
        self.settings = Settings()
        self.deleted_queues.clear()


STATE = State()
