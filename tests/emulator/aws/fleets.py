"""EC2 Fleet. moto launches the machines of a fleet once.

Here machines follow the launch template and the overrides. A `maintain` fleet replaces ended
machines, follows `ModifyFleet`, ends at `ValidUntil`, keeps a history, and respects the quota.
"""

import datetime
import itertools
import threading
from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends, fleets
from moto.ec2.models.amis import Ami
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses import EC2Response
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.models import ServiceQuotasBackend

from tests.emulator.aws.call import Refused
from tests.emulator.aws.state import STATE

LOCK = threading.RLock()
"""Held while requests or the clock change fleets and machines."""

SPOT_QUOTA = "L-34B43A08"
"""All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests, in vCPUs."""


class MaintainedFleet(fleets.Fleet):
    """A fleet that keeps its target."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.history: list[dict[str, Any]] = []
        self.launched: list[Any] = []
        self._turn = itertools.count()
        self._told: str | None = None
        super().__init__(*arguments, **options)
        # moto stores the parts of a target; the API has the total and its default type.
        self.default_type = self.target_capacity_specification.get(
            "DefaultTargetCapacityType", "on-demand"
        )
        self._tell("fleetRequestChange", "submitted")
        if self.on_demand_target_capacity + self.spot_target_capacity < self.target_capacity:
            rest = self.target_capacity - self.on_demand_target_capacity - self.spot_target_capacity
            if self.default_type == "spot":
                self.spot_target_capacity += rest
            else:
                self.on_demand_target_capacity += rest
        self._specify()
        self.balance(grow=True)
        self._tell("fleetRequestChange", "active")

    # moto's constructor launches with these two; here `balance` launches.
    def create_spot_requests(self, weight_to_add: float) -> list[Any]:
        return []

    def create_on_demand_requests(self, weight_to_add: float) -> None:
        pass

    @property
    def living(self) -> list[Any]:
        return [i for i in self.launched if i.state not in ("terminated", "shutting-down")]

    @property
    def spot_requests(self) -> list[Any]:
        return []

    @spot_requests.setter
    def spot_requests(self, value: list[Any]) -> None:
        pass

    @property
    def on_demand_instances(self) -> list[dict[str, Any]]:
        """Return the content of DescribeFleetInstances."""
        return [
            {"id": i.spot_request or None, "instance": i, "launch_spec": i.launch_spec}
            for i in self.living
        ]

    @on_demand_instances.setter
    def on_demand_instances(self, value: list[Any]) -> None:
        pass

    def modify(self, target: dict[str, Any], policy: str | None) -> None:
        """Change the target; excess machines end only if the policy is to terminate them."""
        if policy:
            self.excess_capacity_termination_policy = policy
        total = target.get("TotalTargetCapacity")
        if total is not None:
            self.target_capacity = int(total)
            demand = target.get("OnDemandTargetCapacity")
            spot = target.get("SpotTargetCapacity")
            if demand is None and spot is None:
                if self.default_type == "spot":
                    demand = min(self.on_demand_target_capacity, self.target_capacity)
                else:
                    spot = min(self.spot_target_capacity, self.target_capacity)
            if demand is None:
                demand = self.target_capacity - int(spot or 0)
            self.on_demand_target_capacity = int(demand)
            self.spot_target_capacity = self.target_capacity - int(demand)
        self._specify()
        self._tell("fleetRequestChange", "modify_in_progress")
        self.balance(grow=True)
        self._tell("fleetRequestChange", "modify_succeeded")

    def balance(self, grow: bool | None = None) -> None:
        """Adjust the number of machines to the target."""
        if grow is None:
            grow = self.fleet_type == "maintain"
        if self.state == "active":
            self._expire()
        if self.state == "active":
            targets = {"spot": self.spot_target_capacity, None: self.on_demand_target_capacity}
            for lifecycle, target in targets.items():
                have = [i for i in self.living if i.lifecycle == lifecycle]
                if len(have) < target and grow:
                    self._launch(target - len(have), lifecycle)
                policy = self.excess_capacity_termination_policy
                if len(have) > target and policy == "termination":
                    self._end(have[target:])
        elif self.state == "deleted_terminating" and not self.living:
            self.state = "deleted"
        self._fulfil()

    def terminate_instances(self) -> None:
        self._end(self.living)
        self._fulfil()

    def _fulfil(self) -> None:
        spot = [i for i in self.living if i.lifecycle == "spot"]
        self.fulfilled_capacity = float(len(self.living))
        self.fulfilled_spot_capacity = float(len(spot))
        self.fulfilled_on_demand_capacity = self.fulfilled_capacity - len(spot)

    def _specify(self) -> None:
        self.target_capacity_specification = {
            **self.target_capacity_specification,
            "TotalTargetCapacity": self.target_capacity,
            "OnDemandTargetCapacity": self.on_demand_target_capacity,
            "SpotTargetCapacity": self.spot_target_capacity,
        }

    def _expire(self) -> None:
        until = self.valid_until
        if until is None:
            return
        if isinstance(until, str):
            until = datetime.datetime.fromisoformat(until)
        if until.tzinfo:
            until = until.astimezone(datetime.UTC).replace(tzinfo=None)
        if utcnow() < until:
            return
        self.state = "deleted_running"
        if self.terminate_instances_with_expiration:
            self.state = "deleted_terminating"
            self._end(self.living)
        self._tell("fleetRequestChange", "expired")

    def _launch(self, count: int, lifecycle: str | None) -> None:
        for _ in range(count):
            spec = self.launch_specs[next(self._turn) % len(self.launch_specs)]
            if problem := self._no_machine(spec, lifecycle):
                if problem != self._told:  # AWS repeats it every few minutes
                    self._tell("error", problem, f"{spec.instance_type}, {spec.subnet_id}")
                self._told = problem
                return
            self._told = None
            instance = self._one(spec, lifecycle)
            self.launched.append(instance)
            self._tell("instanceChange", "launched", instance=instance.id)

    def _no_machine(self, spec: Any, lifecycle: str | None) -> str | None:
        machines = list(_living_everywhere(self.ec2_backend))
        if len(machines) >= STATE.settings.capacity:
            return "allLaunchSpecsTemporarilyBlacklisted"
        spot = [i.instance_type for i in machines if i.lifecycle == "spot"]
        used = sum(map(vcpus, spot)) + vcpus(spec.instance_type)
        if lifecycle == "spot" and used > STATE.settings.spot_vcpus:
            return "spotInstanceCountLimitExceeded"
        return None

    def _one(self, spec: Any, lifecycle: str | None) -> Any:
        data = _template_data(self.ec2_backend, spec)
        interface = (data.get("NetworkInterfaces") or [{}])[0]
        groups = data.get("SecurityGroupIds") or interface.get("Groups") or []
        profile = data.get("IamInstanceProfile") or {}
        reservation = self.ec2_backend.run_instances(
            image_id=spec.image_id,
            count=1,
            user_data=data.get("UserData"),
            security_group_names=data.get("SecurityGroups") or [],
            security_group_ids=groups,
            instance_type=spec.instance_type,
            is_instance_type_default=False,
            key_name=data.get("KeyName"),
            subnet_id=self._subnet(spec.subnet_id),
            associate_public_ip=interface.get("AssociatePublicIpAddress", False),
            block_device_mappings=data.get("BlockDeviceMappings") or [],
            metadata_options=data.get("MetadataOptions") or {},
            tags=spec.tag_specifications,
            lifecycle=lifecycle,
        )
        (instance,) = reservation.instances
        instance.add_tags({"aws:ec2:fleet-id": self.id})
        instance.launch_spec = spec
        instance.spot_request = f"sir-{instance.id[-8:]}" if lifecycle == "spot" else ""
        if profile:
            self.ec2_backend.associate_iam_instance_profile(
                instance.id, profile.get("Name"), profile.get("Arn")
            )
        return instance

    def _subnet(self, given: str | None) -> str | None:
        """Return one of several subnets, in turn."""
        named = [subnet.strip() for subnet in (given or "").split(",") if subnet.strip()]
        return named[len(self.launched) % len(named)] if named else None

    def _end(self, instances: list[Any]) -> None:
        if instances:
            self.ec2_backend.terminate_instances([i.id for i in instances])
        for instance in instances:
            self._tell("instanceChange", "terminated", instance=instance.id)

    def _tell(self, kind: str, what: str, text: str = "", instance: str = "") -> None:
        about = {"EventSubType": what, "EventDescription": text, "InstanceId": instance}
        self.history.append(
            {
                "EventType": kind,
                "Timestamp": utcnow(),
                "EventInformation": {k: v for k, v in about.items() if v},
            }
        )


def vcpus(machine: str) -> int:
    """Return the vCPUs of an instance type."""
    try:
        return int(INSTANCE_TYPES[machine]["VCpuInfo"]["DefaultVCpus"])
    except KeyError:
        return 2


def tick() -> None:
    """Balance all fleets."""
    with LOCK:
        for fleet in everywhere():
            fleet.balance()


def everywhere() -> Iterator[MaintainedFleet]:
    for account in list(ec2_backends.values()):
        for backend in list(account.values()):
            found: Any = backend.fleets
            yield from list(found.values())


def interrupt(instance_id: str) -> None:
    """End a spot machine, as an interruption does."""
    with LOCK:
        for fleet in everywhere():
            for instance in fleet.living:
                if instance.id == instance_id:
                    fleet._end([instance])
                    instance.state_reason.code = "Server.SpotInstanceTermination"


def _modify_fleet(response: Any) -> ActionResult:
    fleet = _fleet(response)
    if fleet.fleet_type != "maintain":
        raise Refused("InvalidRequest", "Only fleets of type maintain can be modified.", 400)
    if fleet.state != "active":
        raise Refused("FleetNotInModifiableState", f"The fleet {fleet.id} is {fleet.state}.")
    with LOCK:
        fleet.modify(
            response._get_param("TargetCapacitySpecification", {}),
            response._get_param("ExcessCapacityTerminationPolicy"),
        )
    return ActionResult({"Return": True})


def _describe_fleet_history(response: Any) -> ActionResult:
    fleet = _fleet(response)
    start = response._get_param("StartTime")
    if start is None:
        raise Refused("MissingParameter", "The request must contain the parameter StartTime")
    kind = response._get_param("EventType")
    kinds = {"instance-change": "instanceChange", "fleet-change": "fleetRequestChange"}
    wanted = kinds.get(kind, {"service-error": "error"}.get(kind))
    since = start.replace(tzinfo=None) if isinstance(start, datetime.datetime) else None
    records = [
        record
        for record in fleet.history
        if wanted in (None, record["EventType"])
        and (since is None or record["Timestamp"] >= since - datetime.timedelta(seconds=1))
    ]
    return ActionResult(
        {
            "FleetId": fleet.id,
            "HistoryRecords": records,
            "StartTime": start,
            "LastEvaluatedTime": utcnow(),
        }
    )


def _fleet(response: Any) -> MaintainedFleet:
    fleet_id = response._get_param("FleetId")
    fleet: MaintainedFleet | None = response.ec2_backend.fleets.get(fleet_id)
    if fleet is None:
        raise Refused("InvalidFleetId.NotFound", f"The fleet ID '{fleet_id}' does not exist")
    return fleet


def _quota(_: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
    for quota in _quotas():
        if (service_code, quota_code) == ("ec2", quota["QuotaCode"]):
            return quota
    raise NoSuchResource


def _quotas() -> list[dict[str, Any]]:
    return [
        {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:us-east-1:123456789012:ec2/{SPOT_QUOTA}",
            "QuotaCode": SPOT_QUOTA,
            "QuotaName": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
            "Value": STATE.settings.spot_vcpus,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
    ]


_moto_create_fleet = EC2Response.create_fleet
_tokens: dict[tuple[str, str], str] = {}


def _create_fleet(response: Any) -> ActionResult:
    """Create a fleet, but not a second one for the same ClientToken."""
    token = (response.current_account, response._get_param("ClientToken") or "")
    with LOCK:
        if token[1] and _tokens.get(token) in response.ec2_backend.fleets:
            return ActionResult({"FleetId": _tokens[token]})
        result: Any = _moto_create_fleet(response)
        if token[1]:
            _tokens[token] = result.result["FleetId"]
    return ActionResult(result.result)


def _delete_fleets(response: Any) -> ActionResult:
    """Delete fleets; report success or failure of each, and failure for a deleted fleet."""
    done, failed = [], []
    for fleet_id in response._get_param("FleetIds", []):
        fleet = response.ec2_backend.fleets.get(fleet_id)
        if fleet is None or fleet.state != "active":
            code = "fleetIdDoesNotExist" if fleet is None else "fleetNotInDeletableState"
            about = {"Code": code, "Message": f"{fleet_id}: {code}"}
            failed.append({"FleetId": fleet_id, "Error": about})
            continue
        with LOCK:
            terminate = response._get_bool_param("TerminateInstances")
            response.ec2_backend.delete_fleets([fleet_id], terminate)
            fleet._tell("fleetRequestChange", fleet.state)
        done.append(
            {
                "FleetId": fleet_id,
                "CurrentFleetState": fleet.state,
                "PreviousFleetState": "active",
            }
        )
    return ActionResult({"SuccessfulFleetDeletions": done, "UnsuccessfulFleetDeletions": failed})


_moto_devices: Any = vars(Ami)["block_device_mappings"].fget

ECS_IMAGE_GB = 30
"""Size of the root snapshot of the ECS-optimized images; moto reports 15 for every image."""


def _devices(image: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _moto_devices(image)
    for device in found:
        device["Ebs"]["VolumeSize"] = ECS_IMAGE_GB if "-ecs-" in str(image.name) else 8
    return found


def install() -> None:
    image: Any = Ami
    response: Any = EC2Response
    quotas: Any = ServiceQuotasBackend
    backend: Any = fleets.FleetsBackend
    module: Any = fleets
    image.block_device_mappings = property(_devices)
    module.Fleet = MaintainedFleet
    response.create_fleet = _create_fleet
    response.delete_fleets = _delete_fleets
    response.modify_fleet = _modify_fleet
    response.describe_fleet_history = _describe_fleet_history
    quotas.get_service_quota = _quota
    backend.describe_fleet_instances = _fleet_instances


def _fleet_instances(backend: Any, fleet_id: str) -> list[Any]:
    fleet = backend.fleets.get(fleet_id)
    if fleet is None:
        raise Refused("InvalidFleetId.NotFound", f"The fleet ID '{fleet_id}' does not exist")
    return list(fleet.on_demand_instances)


def _template_data(backend: Any, spec: Any) -> dict[str, Any]:
    given = spec.launch_template_spec
    template = backend.get_launch_template(given["LaunchTemplateId"])
    version = given.get("Version", template.default_version_number)
    data: dict[str, Any] = template.get_version(version).data
    return data


def _living_everywhere(backend: Any) -> Iterator[Any]:
    for reservation in list(backend.reservations.values()):
        for instance in reservation.instances:
            if instance.state not in ("terminated", "shutting-down"):
                yield instance
