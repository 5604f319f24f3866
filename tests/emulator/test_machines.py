"""Fleets, services and tasks of the strict emulator behave as EC2's and ECS's do."""

import base64
import datetime
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ds.jobs.environment import WorkerSettings
from ds.jobs.message import Job
from tests.emulator.aws.client import Control
from tests.implementation import make_implementation

CONFIG = "ECS_CLUSTER=c\nECS_ENABLE_SPOT_INSTANCE_DRAINING=true\n"
TASK = """
import json, os, pathlib, signal, subprocess, sys, time
def protect(on):
    import urllib.request
    body = json.dumps({"ProtectionEnabled": on, "ExpiresInMinutes": 10}).encode()
    url = os.environ["ECS_AGENT_URI"] + "/task-protection/v1/state"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        print(answer.read().decode(), flush=True)
def ended(number, frame):
    print("SIGTERM", flush=True)
    if os.environ.get("STUBBORN") != "1":
        sys.exit(0)
signal.signal(signal.SIGTERM, ended)
print("started", os.environ.get("NAME"), "AWS_ACCESS_KEY_ID" in os.environ, flush=True)
if os.environ.get("PROTECT") == "1":
    protect(True)
while True:
    time.sleep(0.1)
"""


class World:
    """A cluster, a fleet's template and a service whose tasks are small processes."""

    def __init__(self, control: Control, folder: Path) -> None:
        self.control = control
        self.folder = folder
        self.output = folder / "output"
        self.ec2, self.ecs = control.client("ec2"), control.client("ecs")
        self.ecs.create_cluster(clusterName="c")
        iam = control.client("iam")
        iam.create_instance_profile(InstanceProfileName="p")
        self.subnets = self.ec2.describe_subnets()["Subnets"]
        self.group = self.ec2.create_security_group(
            GroupName="g", Description="g", VpcId=self.subnets[0]["VpcId"]
        )["GroupId"]
        name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
        self.image = control.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]

    def fleet(self, total: int = 1, config: str = CONFIG, **more: Any) -> str:
        data = f"#!/bin/bash\ncat > /etc/ecs/ecs.config <<'END'\n{config}END\n"
        template = self.ec2.create_launch_template(
            LaunchTemplateName=f"t{time.monotonic_ns()}",
            LaunchTemplateData={
                "ImageId": self.image,
                "InstanceType": "m5.large",
                "SecurityGroupIds": [self.group],
                "IamInstanceProfile": {"Name": "p"},
                "UserData": base64.b64encode(data.encode()).decode(),
                "TagSpecifications": [
                    {"ResourceType": "instance", "Tags": [{"Key": "ds:app", "Value": "X"}]}
                ],
            },
        )["LaunchTemplate"]["LaunchTemplateId"]
        overrides = [
            {"InstanceType": kind, "SubnetId": subnet["SubnetId"]}
            for kind in ("m5.large", "m5.xlarge")
            for subnet in self.subnets[:2]
        ]
        spec = {"LaunchTemplateId": template, "Version": "$Latest"}
        given = {
            "LaunchTemplateConfigs": [
                {"LaunchTemplateSpecification": spec, "Overrides": overrides}
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": total,
                "DefaultTargetCapacityType": "spot",
            },
            **more,
        }
        return str(self.ec2.create_fleet(**given)["FleetId"])

    def machines(self, state: str = "running") -> list[dict[str, Any]]:
        found = self.ec2.describe_instances(
            Filters=[{"Name": "instance-state-name", "Values": [state]}]
        )
        return [i for r in found["Reservations"] for i in r["Instances"]]

    def history(self, fleet: str) -> list[tuple[str, str]]:
        start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
        records = self.ec2.describe_fleet_history(FleetId=fleet, StartTime=start)
        return [
            (r["EventType"], r["EventInformation"]["EventSubType"])
            for r in records["HistoryRecords"]
        ]

    def serve(self, desired: int, low: int = 0, stop: int = 120, **environment: str) -> None:
        """A service of `desired` tasks; what they print lies in `output`."""
        container = {
            "name": "c",
            "image": "i",
            "memory": 1000,
            "stopTimeout": stop,
            "environment": [{"name": k, "value": v} for k, v in environment.items()],
        }
        self.ecs.register_task_definition(family="f", containerDefinitions=[container])
        (self.folder / "task.py").write_text(TASK)
        self.control.play(self.folder, ["python", "task.py"], output=self.output)
        self.ecs.create_service(
            cluster="c",
            serviceName="s",
            taskDefinition="f",
            desiredCount=desired,
            deploymentConfiguration={"minimumHealthyPercent": low, "maximumPercent": 100 + low},
        )

    def scale(self, desired: int) -> None:
        self.ecs.update_service(cluster="c", service="s", desiredCount=desired)

    def service(self) -> dict[str, Any]:
        return dict(self.ecs.describe_services(cluster="c", services=["s"])["services"][0])

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster="c", desiredStatus=status)["taskArns"]
        return list(self.ecs.describe_tasks(cluster="c", tasks=arns)["tasks"]) if arns else []

    def registered(self) -> list[dict[str, Any]]:
        arns = self.ecs.list_container_instances(cluster="c")["containerInstanceArns"]
        if not arns:
            return []
        found = self.ecs.describe_container_instances(cluster="c", containerInstances=arns)
        return list(found["containerInstances"])

    def printed(self, text: str) -> int:
        return sum(path.read_text().count(text) for path in self.output.glob("*.log"))

    def wait(self, condition: Callable[[], object], timeout: float = 30) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"not within {timeout} s"
            time.sleep(0.1)


@pytest.fixture
def world(aws: Control, tmp_path: Path) -> World:
    return World(aws, tmp_path)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


def test_machines_are_as_their_template_and_overrides_say(world: World) -> None:
    world.fleet(4)
    machines = world.machines()
    assert {m["InstanceLifecycle"] for m in machines} == {"spot"}
    assert {m["InstanceType"] for m in machines} == {"m5.large", "m5.xlarge"}
    assert {m["SubnetId"] for m in machines} == {s["SubnetId"] for s in world.subnets[:2]}
    assert {g["GroupId"] for m in machines for g in m["SecurityGroups"]} == {world.group}
    assert all(m["IamInstanceProfile"]["Arn"].endswith("/p") for m in machines)
    assert all({"Key": "ds:app", "Value": "X"} in m["Tags"] for m in machines)


def test_a_maintained_fleet_replaces_what_ends(world: World) -> None:
    fleet = world.fleet(2)
    first = [m["InstanceId"] for m in world.machines()]
    world.ec2.terminate_instances(InstanceIds=first[:1])
    world.wait(lambda: len(world.machines()) == 2)
    assert first[0] not in [m["InstanceId"] for m in world.machines()]
    active = world.ec2.describe_fleet_instances(FleetId=fleet)["ActiveInstances"]
    assert {i["InstanceId"] for i in active} == {m["InstanceId"] for m in world.machines()}
    assert world.history(fleet).count(("instanceChange", "launched")) == 3


def test_a_lower_target_ends_machines_only_if_the_policy_says_so(world: World) -> None:
    fleet = world.fleet(3)
    target = {"TotalTargetCapacity": 1}
    world.ec2.modify_fleet(
        FleetId=fleet,
        TargetCapacitySpecification=target,
        ExcessCapacityTerminationPolicy="no-termination",
    )
    world.ec2.terminate_instances(InstanceIds=[world.machines()[0]["InstanceId"]])
    time.sleep(0.5)  # two turns of the emulator's clock: none may be replaced
    assert len(world.machines()) == 2
    (shown,) = world.ec2.describe_fleets(FleetIds=[fleet])["Fleets"]
    assert shown["TargetCapacitySpecification"]["TotalTargetCapacity"] == 1
    assert shown["FulfilledCapacity"] == 2
    world.ec2.modify_fleet(
        FleetId=fleet,
        TargetCapacitySpecification=target,
        ExcessCapacityTerminationPolicy="termination",
    )
    assert len(world.machines()) == 1


def test_on_demand_and_spot_in_one_fleet(world: World) -> None:
    fleet = world.fleet(
        TargetCapacitySpecification={
            "TotalTargetCapacity": 3,
            "OnDemandTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot",
        }
    )
    assert sorted(m.get("InstanceLifecycle", "") for m in world.machines()) == ["", "spot", "spot"]
    world.ec2.modify_fleet(
        FleetId=fleet,
        TargetCapacitySpecification={"TotalTargetCapacity": 0, "OnDemandTargetCapacity": 0},
        ExcessCapacityTerminationPolicy="termination",
    )
    assert world.machines() == []


def test_a_deleted_fleet_cannot_be_changed_or_deleted(world: World) -> None:
    fleet = world.fleet()
    done = world.ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=True)
    assert len(done["SuccessfulFleetDeletions"]) == 1
    assert world.machines() == []
    again = world.ec2.delete_fleets(FleetIds=[fleet, "fleet-no"], TerminateInstances=True)
    codes = [failed["Error"]["Code"] for failed in again["UnsuccessfulFleetDeletions"]]
    assert codes == ["fleetNotInDeletableState", "fleetIdDoesNotExist"]
    with pytest.raises(ClientError, match="FleetNotInModifiableState"):
        world.ec2.modify_fleet(
            FleetId=fleet, TargetCapacitySpecification={"TotalTargetCapacity": 1}
        )
    with pytest.raises(ClientError, match="NotFound"):
        world.ec2.describe_fleet_history(FleetId="fleet-no", StartTime=datetime.datetime.now())


def test_a_fleet_ends_with_its_validity(world: World) -> None:
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    fleet = world.fleet(2, ValidUntil=until, TerminateInstancesWithExpiration=True)
    assert len(world.machines()) == 2
    world.wait(lambda: world.machines() == [])
    assert ("fleetRequestChange", "expired") in world.history(fleet)


def test_a_repeated_request_makes_no_second_fleet(world: World) -> None:
    fleets = {world.fleet(ClientToken="once") for _ in range(2)}
    assert len(fleets) == 1
    assert len(world.machines()) == 1


def test_quota_and_capacity_stop_a_fleet_and_its_history_says_so(world: World) -> None:
    world.control.settings(spot_vcpus=5)
    quota = world.control.client("service-quotas").get_service_quota(
        ServiceCode="ec2", QuotaCode="L-34B43A08"
    )
    assert quota["Quota"]["Value"] == 5
    fleet = world.fleet(3)  # of 2 or 4 cores each
    assert len(world.machines()) == 2
    assert world.history(fleet).count(("error", "spotInstanceCountLimitExceeded")) == 1
    world.control.settings(spot_vcpus=100, capacity=2)
    world.wait(lambda: ("error", "allLaunchSpecsTemporarilyBlacklisted") in world.history(fleet))
    world.control.settings(capacity=10)
    world.wait(lambda: len(world.machines()) == 3)


def test_machines_register_with_their_memory_and_only_if_they_can(world: World) -> None:
    world.fleet(1, config=CONFIG + "ECS_RESERVED_MEMORY=256\n")
    world.wait(world.registered)
    (machine,) = world.registered()
    has = {r["name"]: r["integerValue"] for r in machine["registeredResources"]}
    assert (has["CPU"], has["MEMORY"]) == (2048, 7987 - 256)
    assert machine["agentConnected"]
    assert machine["ec2InstanceId"] == world.machines()[0]["InstanceId"]
    world.control.settings(machine_registers=False)
    world.fleet(1)
    world.fleet(1, config="ECS_CLUSTER=another\n")
    time.sleep(0.5)
    assert len(world.registered()) == 1


def test_an_ended_machine_is_forgotten_unless_its_agent_was_gone(world: World) -> None:
    fleet = world.fleet(2)
    world.wait(lambda: len(world.registered()) == 2)
    lost = world.machines()[0]["InstanceId"]
    world.control.lose_agent(lost)
    world.ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=True)
    world.wait(lambda: len(world.registered()) == 1)
    assert [(m["ec2InstanceId"], m["agentConnected"]) for m in world.registered()] == [
        (lost, False)
    ]


def test_tasks_are_processes_with_the_containers_environment(world: World) -> None:
    world.fleet(2)
    world.serve(3, NAME="value")
    world.wait(lambda: world.printed("started value False") == 3)
    assert world.service()["runningCount"] == 3
    assert len(world.tasks()) == 3
    assert len({t["containerInstanceArn"] for t in world.tasks()}) == 2  # spread
    pids = [task["pid"] for task in world.control.tasks()]
    assert all(map(alive, pids))
    world.control.reset()
    assert not any(map(alive, pids))


def test_a_task_that_dies_is_started_again(world: World) -> None:
    world.fleet()
    world.serve(1)
    world.wait(lambda: world.printed("started") == 1)
    (task,) = world.tasks()
    world.control.kill_task(task["taskArn"])
    world.wait(lambda: world.printed("started") == 2)
    (stopped,) = world.tasks("STOPPED")
    assert stopped["containers"][0]["exitCode"] == 137
    assert (stopped["lastStatus"], stopped["stopCode"]) == ("STOPPED", "EssentialContainerExited")
    assert world.service()["runningCount"] == 1


def test_scaling_in_spares_protected_tasks_and_grants_no_new_protection(world: World) -> None:
    world.fleet()
    world.serve(3)
    world.wait(lambda: world.printed("started") == 3)
    arns = [task["taskArn"] for task in world.tasks()]
    set_ = world.ecs.update_task_protection
    set_(cluster="c", tasks=arns[:2], protectionEnabled=True, expiresInMinutes=10)
    world.scale(0)
    world.wait(lambda: world.printed("SIGTERM") == 1)
    world.wait(lambda: len(world.tasks("STOPPED")) == 1)
    assert {task["taskArn"] for task in world.tasks()} == set(arns[:2])
    shown = world.ecs.get_task_protection(cluster="c", tasks=arns[:2])["protectedTasks"]
    assert [task["protectionEnabled"] for task in shown] == [True, True]
    answer = set_(cluster="c", tasks=arns[:1], protectionEnabled=True)  # a longer one is granted
    assert answer["failures"] == []
    set_(cluster="c", tasks=arns[:1], protectionEnabled=False)
    world.wait(lambda: world.printed("SIGTERM") == 2)
    set_(cluster="c", tasks=arns[1:2], protectionEnabled=False)
    world.wait(lambda: world.tasks() == [])
    assert world.service()["runningCount"] == 0


def test_new_protection_is_blocked_while_too_many_are_protected(world: World) -> None:
    world.control.settings(draining_stops_protected=False)
    world.fleet()
    world.serve(3, STUBBORN="1")
    world.wait(lambda: world.printed("started") == 3)
    first, second, third = [task["taskArn"] for task in world.tasks()]
    set_ = world.ecs.update_task_protection
    set_(cluster="c", tasks=[first, second], protectionEnabled=True)
    world.scale(1)
    answer = set_(cluster="c", tasks=[third], protectionEnabled=True)
    assert [failure["reason"] for failure in answer["failures"]] == ["DEPLOYMENT_BLOCKED"]
    with pytest.raises(ClientError, match="2880"):
        set_(cluster="c", tasks=[first], protectionEnabled=True, expiresInMinutes=2881)


def test_a_task_protects_itself_at_its_agent(world: World) -> None:
    world.fleet()
    world.serve(1, PROTECT="1")
    world.wait(lambda: world.printed('"ProtectionEnabled": true') == 1)
    world.scale(0)
    time.sleep(0.5)
    assert world.printed("SIGTERM") == 0
    (task,) = world.tasks()
    assert world.printed(task["taskArn"]) == 1


def test_a_task_that_does_not_end_is_killed_after_its_stop_timeout(world: World) -> None:
    world.fleet()
    world.serve(1, stop=2, STUBBORN="1")
    world.wait(lambda: world.printed("started") == 1)
    (task,) = world.control.tasks()
    world.scale(0)
    world.wait(lambda: world.printed("SIGTERM") == 1)
    asked = time.monotonic()
    world.wait(lambda: not alive(task["pid"]))
    assert time.monotonic() - asked > 1


@pytest.mark.parametrize(("low", "stopped"), [(0, 1), (100, 0)])
def test_draining_stops_tasks_only_if_the_service_allows_it(
    world: World, low: int, stopped: int
) -> None:
    world.fleet()
    world.serve(1, low=low)
    world.wait(lambda: world.printed("started") == 1)
    (machine,) = world.registered()
    world.ecs.update_container_instances_state(
        cluster="c", containerInstances=[machine["containerInstanceArn"]], status="DRAINING"
    )
    world.wait(lambda: world.registered()[0]["status"] == "DRAINING")
    time.sleep(0.7)  # and none is placed on it
    assert world.printed("SIGTERM") == stopped
    assert world.printed("started") == 1


def test_an_interrupted_spot_machine_drains_ends_and_is_replaced(world: World) -> None:
    world.control.settings(notice=1.5)
    world.fleet()
    world.serve(1, STUBBORN="1")
    world.wait(lambda: world.printed("started") == 1)
    first = world.machines()[0]["InstanceId"]
    world.control.notice(first)
    world.wait(lambda: world.printed("SIGTERM") == 1)
    assert world.machines()[0]["InstanceId"] == first
    world.wait(lambda: world.printed("started") == 2)
    assert first not in [m["InstanceId"] for m in world.machines()]


def test_a_deleted_service_drains_until_its_tasks_have_stopped(world: World) -> None:
    world.fleet()
    world.serve(1, stop=2, STUBBORN="1")
    world.wait(lambda: world.printed("started") == 1)
    world.ecs.delete_service(cluster="c", service="s", force=True)
    assert world.service()["status"] == "DRAINING"
    world.wait(lambda: world.service()["status"] == "INACTIVE")
    assert world.ecs.list_services(cluster="c")["serviceArns"] == []


def test_a_service_without_room_says_so(world: World) -> None:
    world.serve(1)
    world.wait(lambda: world.service()["events"])
    assert "unable to place a task" in world.service()["events"][0]["message"]
    assert (world.service()["runningCount"], world.service()["pendingCount"]) == (0, 1)


def test_real_workers_do_the_jobs_with_the_rights_of_the_task_role(
    aws: Control, tmp_path: Path
) -> None:
    world = World(aws, tmp_path)
    iam, sqs, s3 = aws.client("iam"), aws.client("sqs"), aws.client("s3")
    role = iam.create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.put_role_policy(RoleName="task", PolicyName="p", PolicyDocument=json.dumps(ALLOW), **{})
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("q", "dead")]
    s3.create_bucket(Bucket="bucket")
    for group in ("g", "g_records"):
        aws.client("logs").create_log_group(logGroupName=group)
    settings = WorkerSettings(
        APP_NAME="X",
        run_id="r",
        AWS_BUCKET="bucket",
        queue_url=urls[0],
        dead_letter_url=urls[1],
        LOG_GROUP_NAME="g",
        poll_seconds=1,
    )
    jobs = [Job({}, {"name": f"n{i}"}) for i in range(6)]
    for job in jobs:
        sqs.send_message(QueueUrl=urls[0], MessageBody=job.body())
    root = make_implementation(tmp_path, command='bash -c \'echo "$name" > "$output_dir/out.txt"\'')
    environment = [{"name": k, "value": v} for k, v in settings.environment().items()]
    container = {"name": "c", "image": "i", "memory": 1000, "environment": environment}
    world.ecs.register_task_definition(
        family="f", containerDefinitions=[container], taskRoleArn=role["Arn"]
    )
    world.fleet()
    aws.play(root, output=tmp_path / "output")
    world.ecs.create_service(cluster="c", serviceName="s", taskDefinition="f", desiredCount=1)
    admin = aws.user()
    aws.enforce()
    s3 = aws.client("s3", **admin)
    end = time.monotonic() + 60
    while len(s3.list_objects_v2(Bucket="bucket").get("Contents", [])) < 12:  # output and log
        assert time.monotonic() < end, [p.read_text() for p in (tmp_path / "output").glob("*")]
        time.sleep(0.3)
    (call, *_) = aws.calls("sqs:DeleteMessage")
    assert call["principal"].endswith("assumed-role/task/session")
    assert os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") is None


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
ALLOW = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["sqs:*", "s3:*", "logs:*"], "Resource": "*"}],
}
