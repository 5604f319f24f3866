"""The times and limits that tests can change, and the state that moto does not store."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Times in seconds. The defaults are those that AWS documents, if any."""

    queue_name_blocked: float = 60
    """Time for which the name of a deleted queue is blocked (API reference, DeleteQueue)."""
    service_drains: float = 0
    """Minimum time for which a deleted service is DRAINING; it also waits for its last task."""
    machine_boots: float = 0
    """Time from a machine's launch to its registration; one to three minutes on AWS."""
    machine_registers: bool = True
    """If False, machines never register, as without a route to ECS or with a wrong profile."""
    notice: float = 120
    """Time from a spot machine's interruption notice to its end."""
    capacity: int = 1_000_000
    """Maximum number of machines, as if EC2 had no more."""
    spot_vcpus: float = 1_000_000
    """Quota L-34B43A08; a new account can have 5."""
    draining_stops_protected: bool = True
    """Whether protected tasks of a DRAINING machine get SIGTERM. AWS documents that protection
    prevents scale-in and deployments from stopping a task, and does not mention draining."""
    restart_pause: float = 0.2
    """Time between restarts of tasks that die; ECS waits much longer."""


@dataclass
class State:
    settings: Settings = field(default_factory=Settings)
    deleted_queues: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """Time of deletion by account, region, name."""

    def change(self, **settings: Any) -> dict[str, Any]:
        self.settings = replace(self.settings, **settings)
        return asdict(self.settings)

    def reset(self) -> None:
        self.settings = Settings()
        self.deleted_queues.clear()


STATE = State()
