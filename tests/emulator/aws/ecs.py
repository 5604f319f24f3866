"""ECS: real counts of services, tasks and machines, and task scale-in protection.

moto's service reports its desired count as running. Here it counts its tasks, which `player` runs.
"""

import datetime
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ecs import models
from moto.ecs.models import EC2ContainerServiceBackend, Task, ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

from tests.emulator.aws.call import Refused
from tests.emulator.aws.fleets import LOCK
from tests.emulator.aws.state import STATE

MAX_MINUTES = 2880
DEFAULT_MINUTES = 120


def group_of(service: Any) -> str:
    return f"service:{service.name}"


def tasks_of(service: Any) -> list[Any]:
    """Return a service's tasks that have not stopped."""
    tasks = ecs_backends[service._account_id][service.region_name].tasks
    return [
        task
        for task in list(tasks.get(service.cluster_name, {}).values())
        if task.group == group_of(service) and task._status != "STOPPED"
    ]


def services() -> Iterator[tuple[EC2ContainerServiceBackend, Any]]:
    """Yield every service that is not INACTIVE, with its backend."""
    for backend in backends():
        for service in list(backend.services.values()):
            if service.status != "INACTIVE":
                yield backend, service


def backends() -> Iterator[EC2ContainerServiceBackend]:
    for account in list(ecs_backends.values()):
        yield from list(account.values())


def protected_until(task: Task) -> float:
    """Return the end of a task's protection as Unix time; 0 without protection."""
    until = float(getattr(task, "protected_until", 0.0))
    return until if until > time.time() else 0.0


def find_task(identity: str) -> tuple[EC2ContainerServiceBackend, Any] | None:
    """Find a task by its ARN or ID."""
    wanted = identity.rpartition("/")[2]
    for backend in backends():
        for tasks in list(backend.tasks.values()):
            for task in list(tasks.values()):
                if task.id == wanted:
                    return backend, task
    return None


def protect(identity: str, on: bool, minutes: int | None) -> dict[str, Any]:
    """Set a task's protection, as UpdateTaskProtection does for one.

    Returns:
        {"protected": ...} or {"failure": ...}, as in the API.
    """
    with LOCK:
        found = find_task(identity)
        if found is None or found[1]._status == "STOPPED":
            return _failure(identity, "MISSING", "")
        backend, task = found
        service = service_of(backend, task)
        if service is None:
            return _failure(
                task.task_arn, "TASK_NOT_VALID", "The task does not belong to a service."
            )
        if on and not protected_until(task) and _blocked(service):
            return _failure(
                task.task_arn,
                "DEPLOYMENT_BLOCKED",
                "Unable to set protection: more tasks are running than the service desires, and "
                "its deployment waits for protected ones.",
            )
        task.protected_until = time.time() + 60 * (minutes or DEFAULT_MINUTES) if on else 0.0
        return {"protected": protection(task)}


def protection(task: Task) -> dict[str, Any]:
    until = protected_until(task)
    shown: dict[str, Any] = {"taskArn": task.task_arn, "protectionEnabled": bool(until)}
    if until:
        shown["expirationDate"] = datetime.datetime.fromtimestamp(until, datetime.UTC)
    return shown


def service_of(backend: EC2ContainerServiceBackend, task: Task) -> Any | None:
    name = task.group.removeprefix("service:")
    service = backend.services.get(f"{task.cluster_name}:{name}")
    return service if task.group.startswith("service:") else None


def tick() -> None:
    """Set deleted services without tasks to INACTIVE."""
    with LOCK:
        for _, service in services():
            waited = time.time() - getattr(service, "deleted", 0.0)
            drained = waited >= STATE.settings.service_drains and not tasks_of(service)
            if service.status == "DRAINING" and drained:
                service.status = "INACTIVE"


def _blocked(service: Any) -> bool:
    """Return whether more tasks are protected than desired: ECS then grants no new protection."""
    protected = sum(bool(protected_until(task)) for task in tasks_of(service))
    return bool(protected > service.desired_count)


def _failure(arn: str, reason: str, detail: str) -> dict[str, Any]:
    about = {"arn": arn, "reason": reason, "detail": detail}
    return {"failure": {k: v for k, v in about.items() if v}}


def _update_task_protection(response: Any) -> ActionResult:
    minutes = response._get_param("expiresInMinutes")
    if minutes is not None and not 1 <= minutes <= MAX_MINUTES:
        raise Refused(
            "InvalidParameterException",
            f"expiresInMinutes must be between 1 and {MAX_MINUTES}.",
        )
    on = bool(response._get_param("protectionEnabled"))
    answers = [protect(task, on, minutes) for task in _ten_tasks(response)]
    return _protections(answers)


def _get_task_protection(response: Any) -> ActionResult:
    identities = _ten_tasks(response)
    if not identities:
        tasks = response.ecs_backend.tasks.get(_cluster(response), {}).values()
        identities = [task.task_arn for task in tasks if task._status != "STOPPED"]
    answers = []
    for identity in identities:
        found = find_task(identity)
        answers.append(
            {"protected": protection(found[1])} if found else _failure(identity, "MISSING", "")
        )
    return _protections(answers)


def _ten_tasks(response: Any) -> list[str]:
    _cluster(response)
    tasks: list[str] = response._get_param("tasks", [])
    if len(tasks) > 10:
        raise Refused("InvalidParameterException", "At most 10 tasks can be named.")
    return tasks


def _cluster(response: Any) -> str:
    return str(response.ecs_backend._get_cluster(response._get_param("cluster", "default")).name)


def _protections(answers: list[dict[str, Any]]) -> ActionResult:
    return ActionResult(
        {
            "protectedTasks": [a["protected"] for a in answers if "protected" in a],
            "failures": [a["failure"] for a in answers if "failure" in a],
        }
    )


# The counts of moto's services and clusters.


def _running(service: Any) -> int:
    return len([t for t in tasks_of(service) if t._status == "RUNNING"])


def _pending(service: Any) -> int:
    return 0 if service.status != "ACTIVE" else max(0, service.desired_count - _running(service))


def _backend_of(cluster: Any) -> EC2ContainerServiceBackend:
    return ecs_backends[cluster.arn.split(":")[4]][cluster.region_name]


def _cluster_tasks(cluster: Any) -> int:
    tasks = _backend_of(cluster).tasks.get(cluster.name, {})
    return len([t for t in list(tasks.values()) if t._status == "RUNNING"])


def _cluster_machines(cluster: Any) -> int:
    return len(_backend_of(cluster).container_instances.get(cluster.name, {}))


def _cluster_services(cluster: Any) -> int:
    found = _backend_of(cluster).services.values()
    return len([s for s in found if s.cluster_name == cluster.name and s.status == "ACTIVE"])


def _counted(count: Any) -> property:
    """Return a property that counts at each read and ignores what moto sets."""
    return property(count, lambda _, value: None)


_moto_create_service = EC2ContainerServiceResponse.create_service
_moto_update_service = EC2ContainerServiceResponse.update_service

FORGOTTEN = (
    "deploymentConfiguration",
    "placementConstraints",
    "placementStrategy",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
    "healthCheckGracePeriodSeconds",
    "capacityProviderStrategy",
)
"""Settings of a service that moto does not store."""


def _keep(response: Any, service: Any) -> None:
    for name in FORGOTTEN:
        value = response._get_param(name)
        if value is not None:
            setattr(service, camelcase_to_underscores(name), value)
    if service.deployments:
        service.deployments[0]["desiredCount"] = service.desired_count
        service.deployments[0]["taskDefinition"] = service.task_definition


def _create_service(response: Any) -> ActionResult:
    with LOCK:
        result: Any = _moto_create_service(response)
        _keep(response, result.result["service"])
    return ActionResult(result.result)


def _update_service(response: Any) -> ActionResult:
    with LOCK:
        result: Any = _moto_update_service(response)
        service = result.result["service"]
        definition = response.ecs_backend.describe_task_definition(service.task_definition)
        service.task_definition = definition.arn
        _keep(response, service)
    return ActionResult(result.result)


def _delete_service(response: Any) -> ActionResult:
    """Change a service to DRAINING until its tasks have stopped, then to INACTIVE."""
    backend = response.ecs_backend
    service = backend._get_service(
        response._get_param("cluster", "default"), response._get_param("service")
    )
    with LOCK:
        if service.status == "ACTIVE":
            service.status = "DRAINING"
            service.desired_count = 0
            service.deleted = time.time()
    tick()
    return ActionResult({"service": service})


def _list_tasks(
    backend: EC2ContainerServiceBackend,
    cluster_str: str | None = None,
    container_instance: str | None = None,
    family: str | None = None,
    started_by: str | None = None,
    service_name: str | None = None,
    desiredStatus: str | None = None,
) -> list[Task]:
    cluster = backend._get_cluster(cluster_str or "default")
    wanted = desiredStatus or "RUNNING"
    return [
        task
        for task in list(backend.tasks.get(cluster.name, {}).values())
        if task.desired_status == wanted
        and _same_end(container_instance, task.container_instance_arn)
        and (not family or task.task_definition_arn.split("/")[-1].split(":")[0] == family)
        and (not started_by or task.started_by == started_by)
        and (not service_name or task.group == f"service:{service_name.split('/')[-1]}")
    ]


def _same_end(wanted: str | None, arn: str | None) -> bool:
    return not wanted or wanted.rpartition("/")[2] == (arn or "").rpartition("/")[2]


def _describe_tasks(
    backend: EC2ContainerServiceBackend, cluster_str: str, tasks: list[str]
) -> list[Task]:
    cluster = backend._get_cluster(cluster_str)
    if not tasks:
        raise Refused("InvalidParameterException", "Tasks cannot be empty.")
    wanted = {task.rpartition("/")[2] for task in tasks}
    return [t for t in list(backend.tasks.get(cluster.name, {}).values()) if t.id in wanted]


_moto_list_services = EC2ContainerServiceBackend.list_services


def _list_services(backend: Any, cluster_str: str, *more: Any, **named: Any) -> list[str]:
    found = _moto_list_services(backend, cluster_str, *more, **named)
    cluster = backend._get_cluster(cluster_str).name
    live = [
        service.arn
        for service in backend.services.values()
        if service.status != "INACTIVE" and service.cluster_name == cluster
    ]
    return [arn for arn in found if arn in live]


def _list_clusters(backend: Any) -> list[str]:
    return [c.arn for c in backend.clusters.values() if c.status == "ACTIVE"]


_moto_init = EC2ContainerServiceBackend.__init__


def _init(backend: Any, region_name: str, account_id: str) -> None:
    _moto_init(backend, region_name, account_id)
    backend.container_instances = defaultdict(dict)


def install() -> None:
    service: Any = models.Service
    cluster: Any = models.Cluster
    backend: Any = EC2ContainerServiceBackend
    response: Any = EC2ContainerServiceResponse
    service.running_count = _counted(_running)
    service.pending_count = _counted(_pending)
    cluster.running_tasks_count = _counted(_cluster_tasks)
    cluster.pending_tasks_count = _counted(lambda cluster: 0)
    cluster.registered_container_instances_count = _counted(_cluster_machines)
    cluster.active_services_count = _counted(_cluster_services)
    backend.__init__ = _init
    backend.list_tasks = _list_tasks
    backend.describe_tasks = _describe_tasks
    backend.list_services = _list_services
    backend.list_clusters = _list_clusters
    response.create_service = _create_service
    response.update_service = _update_service
    response.delete_service = _delete_service
    response.update_task_protection = _update_task_protection
    response.get_task_protection = _get_task_protection
