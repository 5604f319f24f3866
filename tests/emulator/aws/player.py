"""The machines of AWS: they boot, register, run the tasks of services as processes, and end.

Tasks are processes of this machine, in the folder and with the environment of `play`, plus the
environment in the task definition. Each `tick` updates everything.
"""

import base64
import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ecs.models import ContainerInstance, EC2ContainerServiceBackend, Task

from tests.emulator.aws import ecs
from tests.emulator.aws.fleets import LOCK, interrupt
from tests.emulator.aws.state import STATE

SHARE_OF_MEMORY = 0.975
"""Share of a type's memory that the machine registers (7,985 of 8,192 MiB)."""

STOP_TIMEOUT = 30


@dataclass
class Process:
    """A task's only container."""

    task: Any
    popen: subprocess.Popen[bytes]
    patience: float
    kill_at: float = 0.0
    reason: str = ""


@dataclass
class Play:
    """How tasks run.

    Attributes:
        folder: current folder of the processes: an implementation.
        command: the entry point of the container.
        environment: of the machine, in addition to the task definition's own.
        output: folder for the output of the tasks.
    """

    folder: Path
    command: list[str]
    environment: dict[str, str]
    output: Path


@dataclass
class Player:
    url: str
    play: Play | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    notices: dict[str, float] = field(default_factory=dict)
    """Time at which machines with an interruption notice end."""
    rest: dict[str, float] = field(default_factory=dict)
    """Time until which a service whose task died starts no task."""

    def tick(self) -> None:
        with LOCK:
            self._interrupt()
            for backend in ecs.backends():
                self._end_machines(backend)
                self._register(backend)
            self._reap()
            for backend, service in ecs.services():
                self._drain(backend, service)
                self._scale(backend, service)

    def reset(self) -> None:
        """End all processes."""
        with LOCK:
            for process in self.processes.values():
                _kill(process)
            for identity, process in self.processes.items():
                process.popen.wait()
                end_what_is_left(identity)
            self.processes.clear()
            self.notices.clear()
            self.rest.clear()
            self.play = None

    def notice(self, instance_id: str) -> None:
        """Announce a spot machine's interruption, as its metadata does."""
        with LOCK:
            self.notices[instance_id] = time.time() + STATE.settings.notice
            for backend in ecs.backends():
                for cluster in list(backend.container_instances.values()):
                    for machine in cluster.values():
                        if machine.ec2_instance_id == instance_id and _drains(backend, machine):
                            machine.status = "DRAINING"

    def lose_agent(self, instance_id: str) -> None:
        """Disconnect the machine's ECS agent; its tasks continue."""
        with LOCK:
            for backend in ecs.backends():
                for cluster in list(backend.container_instances.values()):
                    for machine in cluster.values():
                        if machine.ec2_instance_id == instance_id:
                            machine.agent_connected = False

    def kill_task(self, identity: str) -> None:
        """Kill the task's process, as if it ran out of memory."""
        found = ecs.find_task(identity)
        if found and found[1].id in self.processes:
            _kill(self.processes[found[1].id])

    def shown(self) -> list[dict[str, Any]]:
        return [
            {
                "task": p.task.task_arn,
                "pid": p.popen.pid,
                "running": p.popen.poll() is None,
                "machine": p.task.container_instance_arn,
            }
            for p in self.processes.values()
        ]

    # Machines

    def _interrupt(self) -> None:
        for instance_id, end in list(self.notices.items()):
            if time.time() >= end:
                del self.notices[instance_id]
                interrupt(instance_id)

    def _register(self, backend: EC2ContainerServiceBackend) -> None:
        """Register machines with a profile in the cluster that their user data names."""
        if not STATE.settings.machine_registers:
            return
        known = {
            machine.ec2_instance_id
            for machines in backend.container_instances.values()
            for machine in machines.values()
        }
        for instance in _instances(backend):
            age = (utcnow() - instance.launch_time).total_seconds()
            if instance.state != "running" or age < STATE.settings.machine_boots:
                continue
            cluster = backend.clusters.get(config_of(instance).get("ECS_CLUSTER", "default"))
            may = instance.id in _profiles(backend)
            if instance.id in known or getattr(instance, "registered", False) or not may:
                continue
            if cluster is None or cluster.status != "ACTIVE":
                continue
            machine = backend.register_container_instance(cluster.name, instance.id)
            instance.registered = True
            _size(machine, instance)

    def _end_machines(self, backend: EC2ContainerServiceBackend) -> None:
        """End the tasks of terminated machines; deregister those with a connected agent."""
        for cluster, machines in list(backend.container_instances.items()):
            for identity, machine in list(machines.items()):
                instance = _instance(backend, machine.ec2_instance_id)
                if instance is not None and instance.state == "running":
                    continue
                for process in self._on(machine):
                    _kill(process)
                    process.reason = "Host EC2 terminated"
                if machine.agent_connected:
                    machine.agent_connected = False
                    del backend.container_instances[cluster][identity]

    def _on(self, machine: ContainerInstance) -> list[Process]:
        arn = machine.container_instance_arn
        return [p for p in self.processes.values() if p.task.container_instance_arn == arn]

    # Tasks

    def _reap(self) -> None:
        for identity, process in list(self.processes.items()):
            code = process.popen.poll()
            if code is None:
                if process.kill_at and time.time() >= process.kill_at:
                    _kill(process)
                continue
            del self.processes[identity]
            end_what_is_left(identity)
            task = process.task
            asked = task.desired_status == "STOPPED"
            task.desired_status, task.status = "STOPPED", "STOPPED"
            task.protected_until = 0.0
            task.stopped_at = utcnow()
            task.stopped_reason = process.reason or "Essential container in task exited"
            task.stop_code = "ServiceSchedulerInitiated" if asked else "EssentialContainerExited"
            task.containers[0].exitCode = code if code >= 0 else 128 - code
            task.containers[0].last_status = "STOPPED"
            self._free(task)
            if not asked:
                self.rest[task.group] = time.time() + STATE.settings.restart_pause

    def _free(self, task: Any) -> None:
        found = ecs.find_task(task.id)
        if found is None:
            return
        identity = str(task.container_instance_arn).rpartition("/")[2]
        machine = found[0].container_instances.get(task.cluster_name, {}).get(identity)
        if machine is not None:
            found[0].update_container_instance_resources(
                machine, task.resource_requirements, removing=True
            )

    def _stop(self, task: Any, reason: str) -> None:
        """Send SIGTERM, and SIGKILL after the container's stopTimeout."""
        if task.desired_status == "STOPPED":
            return
        task.desired_status = "STOPPED"
        task.status = "STOPPING"
        task.stopping_at = utcnow()
        process = self.processes.get(task.id)
        if process is None:
            task.status = "STOPPED"
            return
        process.reason = reason
        process.kill_at = time.time() + process.patience
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.popen.pid, signal.SIGTERM)

    def _drain(self, backend: EC2ContainerServiceBackend, service: Any) -> None:
        """Stop tasks on DRAINING machines as far as minimumHealthyPercent allows."""
        low = _deployment(service).get("minimumHealthyPercent", 100)
        tasks = [t for t in ecs.tasks_of(service) if t.desired_status == "RUNNING"]
        keep = -(-service.desired_count * low // 100)
        for task in tasks:
            machine = _machine_of(backend, task)
            draining = machine is not None and machine.status == "DRAINING"
            safe = not STATE.settings.draining_stops_protected and ecs.protected_until(task)
            if draining and not safe and len(tasks) > keep:
                self._stop(task, "Container instance draining")
                tasks = [t for t in tasks if t is not task]

    def _scale(self, backend: EC2ContainerServiceBackend, service: Any) -> None:
        tasks = ecs.tasks_of(service)
        wanted = [t for t in tasks if t.desired_status == "RUNNING"]
        if service.status != "ACTIVE":
            for task in wanted:
                self._stop(task, "Service deleted")
            return
        high = _deployment(service).get("maximumPercent", 200)
        excess = len(wanted) - service.desired_count
        free = [t for t in wanted if not ecs.protected_until(t)]
        for task in free[: max(0, excess)]:
            self._stop(task, "Scaling activity initiated by (deployment)")
        resting = time.time() < self.rest.get(ecs.group_of(service), 0.0)
        most = service.desired_count * high // 100
        while len(wanted) < service.desired_count and len(tasks) < most and not resting:
            started = self._start(backend, service)
            if started is None:
                return
            wanted.append(started)
            tasks.append(started)

    def _start(self, backend: EC2ContainerServiceBackend, service: Any) -> Any | None:
        if self.play is None:
            return None
        definition = backend.describe_task_definition(service.task_definition)
        need = backend._calculate_task_resource_requirements(definition)
        machines = [
            machine
            for machine in backend.container_instances[service.cluster_name].values()
            if machine.status == "ACTIVE"
            and machine.agent_connected
            and backend._can_be_placed(machine, need)
        ]
        if not machines:
            _tell(
                service,
                "was unable to place a task because no container instance met all of its "
                "requirements.",
            )
            return None
        machine = min(machines, key=lambda m: m.running_tasks_count)
        task: Any
        (task,) = backend.start_task(
            service.cluster_name,
            definition.arn,
            [machine.container_instance_arn],
            {},
            f"ecs-svc/{service.name}",
            tags=list(service.tags) if service.propagate_tags == "SERVICE" else None,
            group=ecs.group_of(service),
        )
        task.launch_type = "EC2"
        task.started_at = utcnow()
        self.processes[task.id] = self._run(task, definition.container_definitions[0], definition)
        _tell(service, f"has started 1 tasks: (task {task.id}).")
        return task

    def _run(self, task: Task, container: dict[str, Any], definition: Any) -> Process:
        assert self.play is not None
        given = {entry["name"]: entry["value"] for entry in container.get("environment") or []}
        role = getattr(definition, "task_role_arn", None)
        agent = f"{self.url}/agent/{task.id}"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.play.folder),
            **self.play.environment,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": task.region_name,
            "AWS_DEFAULT_REGION": task.region_name,
            "ECS_AGENT_URI": agent,
            "ECS_CONTAINER_METADATA_URI_V4": f"{agent}/v4",
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
            **given,
        }
        if role:
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{agent}/credentials"
        with (self.play.output / f"{task.id}.log").open("ab") as output:
            popen = subprocess.Popen(
                self.play.command,
                cwd=self.play.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Process(task, popen, float(container.get("stopTimeout") or STOP_TIMEOUT))


def config_of(instance: Any) -> dict[str, str]:
    """Return the NAME=value lines that the user data writes to /etc/ecs/ecs.config."""
    data = instance.user_data
    if not data:
        return {}
    text = str(data)
    with contextlib.suppress(ValueError):
        text = base64.b64decode(text, validate=True).decode(errors="replace")
    return {name: value.strip("'\"") for name, value in re.findall(r"\b(ECS_\w+)=([^\s;]+)", text)}


def _size(machine: ContainerInstance, instance: Any) -> None:
    kind = INSTANCE_TYPES.get(instance.instance_type, {})
    reserved = config_of(instance).get("ECS_RESERVED_MEMORY", "0")
    memory = int(kind.get("MemoryInfo", {}).get("SizeInMiB", 8192) * SHARE_OF_MEMORY)
    memory -= int(reserved) if reserved.isdigit() else 0
    cpu = 1024 * int(kind.get("VCpuInfo", {}).get("DefaultVCpus", 2))
    for resources in (machine.registered_resources, machine.remaining_resources):
        for resource in resources:
            if resource["name"] in ("CPU", "MEMORY"):
                resource["integerValue"] = cpu if resource["name"] == "CPU" else memory


def _drains(backend: EC2ContainerServiceBackend, machine: ContainerInstance) -> bool:
    instance = _instance(backend, machine.ec2_instance_id)
    config = config_of(instance) if instance is not None else {}
    return config.get("ECS_ENABLE_SPOT_INSTANCE_DRAINING") == "true"


def _deployment(service: Any) -> dict[str, Any]:
    return dict(getattr(service, "deployment_configuration", None) or {})


def _machine_of(backend: EC2ContainerServiceBackend, task: Task) -> ContainerInstance | None:
    identity = str(task.container_instance_arn).rpartition("/")[2]
    return backend.container_instances.get(task.cluster_name, {}).get(identity)


def _instances(backend: EC2ContainerServiceBackend) -> Iterator[Any]:
    for reservation in list(
        ec2_backends[backend.account_id][backend.region_name].reservations.values()
    ):
        yield from reservation.instances


def _instance(backend: EC2ContainerServiceBackend, identity: str) -> Any | None:
    return next((i for i in _instances(backend) if i.id == identity), None)


def _profiles(backend: EC2ContainerServiceBackend) -> Any:
    """Return the machines with an instance profile; other agents may not register."""
    return ec2_backends[backend.account_id][backend.region_name].iam_instance_profile_associations


def _tell(service: Any, text: str) -> None:
    message = f"(service {service.name}) {text}"
    if not service.events or service.events[0]["message"] != message:
        event = {"id": str(len(service.events)), "createdAt": utcnow(), "message": message}
        service.events.insert(0, event)


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.popen.pid, signal.SIGKILL)


def end_what_is_left(task: str) -> None:
    """Kill everything that a container started: nothing outlives its first process."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("ECS_AGENT_URI", "").endswith(f"/{task}"):
                process.kill()
