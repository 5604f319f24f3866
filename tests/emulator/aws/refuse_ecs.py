"""What AWS refuses and moto accepts: clusters, services, task definitions."""

import re
from functools import partial
from typing import Any

from moto.ecs.models import ecs_backends
from moto.iam.models import iam_backends

from tests.emulator.aws import ecs as services
from tests.emulator.aws.access import denied, enforcing
from tests.emulator.aws.call import Call
from tests.emulator.aws.refusal import Refusal, tags_problem

ECS = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_"
ECS_GUIDE = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/"
IAM_GUIDE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/"

IN_CLUSTER = tuple(
    f"ecs:{operation}"
    for operation in (
        "CreateService", "UpdateService", "DeleteService", "ListServices", "DescribeServices",
        "ListTasks", "DescribeTasks", "RunTask", "StartTask", "StopTask",
        "ListContainerInstances", "DescribeContainerInstances", "RegisterContainerInstance",
        "DeregisterContainerInstance", "UpdateContainerInstancesState", "DeleteCluster",
        "UpdateTaskProtection", "GetTaskProtection", "UpdateCluster",
    )
)  # fmt: skip
DEFINE = ("ecs:RegisterTaskDefinition",)


def _cluster_of(call: Call) -> Any | None:
    name = str(call.parameters.get("cluster") or "default").rpartition("/")[2]
    return ecs_backends[call.account][call.region].clusters.get(name)


def _no_cluster(call: Call) -> str | None:
    cluster = _cluster_of(call)
    if cluster is None:
        return "Cluster not found."
    return None if cluster.status == "ACTIVE" else "The referenced cluster was inactive."


def _cluster_services(call: Call) -> str | None:
    cluster = _cluster_of(call)
    for _, service in services.services():
        if cluster and service.cluster_arn == cluster.arn:
            return "The Cluster cannot be deleted while Services are active."
    return None


def _cluster_machines(call: Call) -> str | None:
    cluster = _cluster_of(call)
    backend = ecs_backends[call.account][call.region]
    if cluster and backend.container_instances.get(cluster.name):
        return "The Cluster cannot be deleted while Container Instances are active or draining."
    return None


def _cluster_tasks(call: Call) -> str | None:
    cluster = _cluster_of(call)
    backend = ecs_backends[call.account][call.region]
    tasks = backend.tasks.get(cluster.name, {}).values() if cluster else []
    if any(task._status != "STOPPED" for task in tasks):
        return "The Cluster cannot be deleted while Tasks are active."
    return None


def _service_of(call: Call) -> Any | None:
    cluster = _cluster_of(call)
    name = call.parameters.get("serviceName") or call.parameters.get("service") or ""
    backend = ecs_backends[call.account][call.region]
    name = str(name).rpartition("/")[2]
    return backend.services.get(f"{cluster.name}:{name}") if cluster else None


def _service_draining(call: Call) -> str | None:
    service = _service_of(call)
    draining = service is not None and service.status == "DRAINING"
    return "Unable to Start a service that is still Draining." if draining else None


def _service_exists(call: Call) -> str | None:
    """Refuse a service that exists, even if it is equal."""
    service = _service_of(call)
    if service is None or service.status != "ACTIVE":
        return None
    return "Creation of service was not idempotent."


def _service_not_active(call: Call) -> str | None:
    service = _service_of(call)
    inactive = service is not None and service.status != "ACTIVE"
    return "Service was not ACTIVE." if inactive else None


def _no_service(call: Call) -> str | None:
    service = _service_of(call)
    gone = service is None or service.status == "INACTIVE"
    return "Service not found." if gone else None


def _scaled(call: Call) -> str | None:
    service = _service_of(call)
    running = service is not None and service.status == "ACTIVE" and service.desired_count > 0
    if running and str(call.parameters.get("force", False)).lower() != "true":
        return "The service cannot be stopped while it is scaled above 0."
    return None


def _definition_gone(call: Call) -> str | None:
    named = str(call.parameters.get("taskDefinition") or "").rpartition("/")[2]
    family, _, revision = named.partition(":")
    revisions = ecs_backends[call.account][call.region].task_definitions.get(family) or {}
    if not named:
        return None
    active = [number for number, found in revisions.items() if found.status == "ACTIVE"]
    if not active:
        return "TaskDefinition not found."
    if revision and (not revision.isdigit() or int(revision) not in revisions):
        return "TaskDefinition not found."
    return None if not revision or int(revision) in active else "TaskDefinition is inactive"


def _deployment(call: Call) -> str | None:
    given = call.parameters.get("deploymentConfiguration") or {}
    low, high = given.get("minimumHealthyPercent", 100), given.get("maximumPercent", 200)
    if high <= low or (high < 100):
        return (
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block "
            "deployments."
        )
    return None


def _containers(call: Call) -> list[dict[str, Any]]:
    return list(call.parameters.get("containerDefinitions") or [])


def _family(call: Call) -> str | None:
    family = str(call.parameters.get("family", ""))
    if re.fullmatch(r"[A-Za-z0-9_-]{1,255}", family):
        return None
    return "Family contains invalid characters."


def _task_cpu(call: Call) -> str | None:
    """Check the cpu of a task; a container's can be any number (API, ContainerDefinition)."""
    cpu = str(call.parameters.get("cpu") or "128")
    if not cpu.isdigit() or 128 <= int(cpu) <= 196_608:
        return None
    return (
        "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of "
        "the Amazon ECS Developer Guide."
    )


def _container_memory(call: Call) -> str | None:
    for container in _containers(call):
        name = container.get("name")
        hard, soft = container.get("memory"), container.get("memoryReservation")
        for value in (hard, soft):
            if value is not None and value < 6:
                return (
                    f"Invalid setting for container '{name}'. The memory or memoryReservation must "
                    "be at least 6 MiB."
                )
        if hard is not None and soft is not None and soft > hard:
            return (
                f"Invalid setting for container '{name}'. 'memory' must be greater than or equal "
                "to 'memoryReservation'."
            )
    return None


def _container_name(call: Call) -> str | None:
    names = [str(container.get("name", "")) for container in _containers(call)]
    if not names:
        return "Container list cannot be empty."
    if any(not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) for name in names):
        return "Container.name contains invalid characters."
    if len(set(names)) < len(names):
        return "Container names must be unique."
    return None


def _environment(call: Call) -> str | None:
    for container in _containers(call):
        names = [entry.get("name") for entry in container.get("environment") or []]
        secret = [entry.get("name") for entry in container.get("secrets") or []]
        if not all([*names, *secret]):
            return "Environment variable name should not be empty."
        if both := set(names) & set(secret):
            return f"The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{both.pop()}'."  # noqa: E501
    return None


def _definition_size(call: Call) -> str | None:
    length = len(call.body)
    fits = length <= 65_536
    return None if fits else f"Actual length: '{length}'. Max allowed length is '65536' bytes."


def _roles(call: Call) -> str | None:
    known = {role.arn for role in iam_backends[call.account]["aws"].roles.values()}
    names = {role.name for role in iam_backends[call.account]["aws"].roles.values()}
    for name in ("taskRoleArn", "executionRoleArn"):
        role = call.parameters.get(name)
        if role and role not in known and role not in names:
            return "Role is not valid"
    return None


def _execution_role(call: Call) -> str | None:
    secret = any(container.get("secrets") for container in _containers(call))
    if secret and not call.parameters.get("executionRoleArn"):
        return "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."  # noqa: E501
    return None


def _ecs_tags(call: Call) -> str | None:
    tags = call.parameters.get("tags") or []
    return tags_problem({tag.get("key", ""): tag.get("value", "") for tag in tags})


def _instance_tasks(call: Call) -> str | None:
    named = str(call.parameters.get("containerInstance", "")).rpartition("/")[2]
    forced = str(call.parameters.get("force", False)).lower() == "true"
    cluster = _cluster_of(call)
    tasks = ecs_backends[call.account][call.region].tasks
    running = [
        task
        for task in (tasks.get(cluster.name, {}).values() if cluster else [])
        if task._status != "STOPPED" and str(task.container_instance_arn).endswith(named)
    ]
    return "Found running tasks on the instance." if running and not forced else None


def _no_instance(call: Call) -> str | None:
    named = str(call.parameters.get("containerInstance", "")).rpartition("/")[2]
    cluster = _cluster_of(call)
    backend = ecs_backends[call.account][call.region]
    there = cluster is not None and named in backend.container_instances.get(cluster.name, {})
    return None if there else "The specified container instance does not exist."


def _pass_role(call: Call, parameters: tuple[str, ...]) -> str | None:
    """Require iam:PassRole on a role that a call passes to a service."""
    if not enforcing():
        return None
    for name in parameters:
        role = call.parameters.get(name)
        if role and (why := denied("iam:PassRole", role, call.region, call.environ, call.body)):
            return f"{why} on resource: {role}"
    return None


ROWS = (
    Refusal(
        IN_CLUSTER,
        "an operation in a cluster that does not exist or is deleted",
        "ClusterNotFoundException",
        ECS + "DescribeServices.html",
        _no_cluster,
    ),
    Refusal(
        ("ecs:DeleteCluster",),
        "deleting a cluster with services",
        "ClusterContainsServicesException",
        ECS + "DeleteCluster.html",
        _cluster_services,
    ),
    Refusal(
        ("ecs:DeleteCluster",),
        "deleting a cluster with machines",
        "ClusterContainsContainerInstancesException",
        ECS + "DeleteCluster.html",
        _cluster_machines,
    ),
    Refusal(
        ("ecs:DeleteCluster",),
        "deleting a cluster with tasks",
        "ClusterContainsTasksException",
        ECS + "DeleteCluster.html",
        _cluster_tasks,
    ),
    Refusal(
        ("ecs:CreateService",),
        "a service with the name of a draining service",
        "InvalidParameterException",
        ECS + "DeleteService.html",
        _service_draining,
    ),
    Refusal(
        ("ecs:CreateService",),
        "a service that exists",
        "InvalidParameterException",
        ECS + "CreateService.html",
        _service_exists,
    ),
    Refusal(
        ("ecs:UpdateService",),
        "updating a service that does not exist",
        "ServiceNotFoundException",
        ECS + "UpdateService.html",
        lambda call: None if _service_of(call) else "Service not found.",
    ),
    Refusal(
        ("ecs:UpdateService",),
        "updating a deleted service",
        "ServiceNotActiveException",
        ECS + "UpdateService.html",
        _service_not_active,
    ),
    Refusal(
        ("ecs:DeleteService",),
        "deleting a service that does not exist",
        "ServiceNotFoundException",
        ECS + "DeleteService.html",
        _no_service,
    ),
    Refusal(
        ("ecs:DeleteService",),
        "deleting a service with a desired count above 0, without force",
        "InvalidParameterException",
        ECS + "DeleteService.html",
        _scaled,
    ),
    Refusal(
        ("ecs:CreateService", "ecs:UpdateService"),
        "a deployment that can neither stop nor start a task (0/100 can)",
        "InvalidParameterException",
        ECS + "DeploymentConfiguration.html",
        _deployment,
    ),
    Refusal(
        # RunTask answers InvalidParameterException for an inactive one.
        ("ecs:CreateService", "ecs:UpdateService"),
        "a task definition that does not exist or is inactive",
        "ClientException",
        ECS + "DeregisterTaskDefinition.html",
        _definition_gone,
    ),
    Refusal(
        ("ecs:DeregisterContainerInstance",),
        "deregistering a machine that does not exist",
        "InvalidParameterException",
        ECS + "DeregisterContainerInstance.html",
        _no_instance,
    ),
    Refusal(
        ("ecs:DeregisterContainerInstance",),
        "deregistering a machine with tasks, without force",
        "InvalidParameterException",
        ECS + "DeregisterContainerInstance.html",
        _instance_tasks,
    ),
    Refusal(
        DEFINE,
        "a family with characters other than A-Z a-z 0-9 _ -",
        "ClientException",
        ECS + "RegisterTaskDefinition.html",
        _family,
    ),
    Refusal(
        DEFINE,
        "container names that are missing, duplicate or invalid",
        "ClientException",
        ECS + "ContainerDefinition.html",
        _container_name,
    ),
    Refusal(
        DEFINE,
        "a task's cpu below an eighth of a core or above 192 cores",
        "ClientException",
        ECS_GUIDE + "task-cpu-memory-error.html",
        _task_cpu,
    ),
    Refusal(
        DEFINE,
        "a container's memory below 6 MiB or below its reservation",
        "ClientException",
        ECS + "ContainerDefinition.html",
        _container_memory,
        assumed=True,
    ),
    Refusal(
        DEFINE,
        "environment variables without a name, or with the name of a secret",
        "ClientException",
        ECS + "Secret.html",
        _environment,
    ),
    Refusal(
        DEFINE,
        "secrets without an execution role",
        "ClientException",
        ECS_GUIDE + "specifying-sensitive-data.html",
        _execution_role,
    ),
    Refusal(
        DEFINE,
        "a task or execution role that does not exist",
        "ClientException",
        ECS_GUIDE + "task-iam-roles.html",
        _roles,
    ),
    Refusal(
        DEFINE,
        "a task definition larger than 64 KiB",
        "ClientException",
        ECS_GUIDE + "service-quotas.html",
        _definition_size,
    ),
    Refusal(
        (*DEFINE, "ecs:CreateService", "ecs:CreateCluster", "ecs:TagResource"),
        "too many tags, or tags that are too long, reserved, or contain invalid characters",
        # The code was seen with RunTask (PrefectHQ/prefect-aws#223).
        "InvalidParameterException",
        ECS + "Tag.html",
        _ecs_tags,
    ),
    Refusal(
        DEFINE,
        "passing a role without iam:PassRole (only with IAM on)",
        "AccessDeniedException",
        IAM_GUIDE + "id_roles_use_passrole.html",
        partial(_pass_role, parameters=("taskRoleArn", "executionRoleArn")),
    ),
)
