"""The emulator refuses what AWS refuses, and accepts the nearest legal neighbour.

Each row of `refusals.TABLE` needs a case here; the last test names the rows without one.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.emulator.aws import document
from tests.emulator.aws.client import Control
from tests.emulator.aws.refusals import TABLE

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


class Account:
    """An account with what machines and tasks need: created once, extended by the cases."""

    def __init__(self, control: Control) -> None:
        self.control = control
        for service in ("sqs", "ec2", "ecs", "iam", "logs", "ssm"):
            setattr(self, service, control.client(service))
        self._prepare()

    sqs: Any
    ec2: Any
    ecs: Any
    iam: Any
    logs: Any
    ssm: Any

    def _prepare(self) -> None:
        name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
        self.image = self.ssm.get_parameter(Name=name)["Parameter"]["Value"]
        arm = "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"
        self.arm = self.ssm.get_parameter(Name=arm)["Parameter"]["Value"]
        self.subnets = self.ec2.describe_subnets()["Subnets"]
        self.subnet = self.subnets[0]["SubnetId"]
        network = self.subnets[0]["VpcId"]
        groups = self.ec2.describe_security_groups()["SecurityGroups"]
        self.group = next(g["GroupId"] for g in groups if g["VpcId"] == network)
        other = self.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        self.other_group = self.ec2.create_security_group(
            GroupName="other", Description="other", VpcId=other
        )["GroupId"]
        free = self.ec2.create_subnet(
            VpcId=network,
            CidrBlock="172.31.128.0/20",
            AvailabilityZone=self.subnets[0]["AvailabilityZone"],
        )
        self.same_zone = free["Subnet"]["SubnetId"]
        self.ec2.create_key_pair(KeyName="key")
        self.role = self.iam.create_role(RoleName="task", AssumeRolePolicyDocument=TRUST)["Role"]
        self.iam.create_instance_profile(InstanceProfileName="profile")
        self.iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="task")
        self.ecs.create_cluster(clusterName="cluster")
        self.define("definition")
        self.service("service")

    def template(self, **data: Any) -> dict[str, Any]:
        """Return the data of a legal template, with changes."""
        given = {
            "ImageId": self.image,
            "InstanceType": "m5.large",
            "KeyName": "key",
            "SecurityGroupIds": [self.group],
            "IamInstanceProfile": {"Name": "profile"},
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30}}],
            **data,
        }
        return {name: value for name, value in given.items() if value is not None}

    def launch(self, **data: Any) -> dict[str, Any]:
        """Start a machine from a template's data."""
        return dict(self.ec2.run_instances(MinCount=1, MaxCount=1, **self.template(**data)))

    def fleet(
        self,
        data: dict[str, Any] | None = None,
        overrides: list[dict[str, Any]] | None = None,
        version: str | None = "$Latest",
        template: str = "",
        name: str = "",
        **more: Any,
    ) -> str:
        """Create a fleet from a new template."""
        named = {"LaunchTemplateId": template or self.make_template(**(data or {}))}
        if name:
            named = {"LaunchTemplateName": name}
        if version:
            named["Version"] = version
        config = {
            "LaunchTemplateSpecification": named,
            "Overrides": overrides or [{"SubnetId": self.subnet}],
        }
        given = {
            "LaunchTemplateConfigs": [config],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": 1,
                "DefaultTargetCapacityType": "spot",
            },
            **more,
        }
        return str(self.ec2.create_fleet(**given)["FleetId"])

    def make_template(self, **data: Any) -> str:
        made = self.ec2.create_launch_template(
            LaunchTemplateName=f"t{time.monotonic_ns()}", LaunchTemplateData=self.template(**data)
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def define(self, family: str = "f", **more: Any) -> dict[str, Any]:
        """Register a task definition, with changes to the container and the rest."""
        container = {"name": "c", "image": "i", "memory": 100, **more.pop("container", {})}
        given = {"family": family, "containerDefinitions": [container], **more}
        return dict(self.ecs.register_task_definition(**given)["taskDefinition"])

    def service(self, name: str, **more: Any) -> dict[str, Any]:
        given = {
            "cluster": "cluster",
            "serviceName": name,
            "taskDefinition": "definition",
            "desiredCount": 0,
            "deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 100},
            **more,
        }
        return dict(self.ecs.create_service(**given)["service"])

    def machine(self, cluster: str) -> str:
        """Register a machine in a cluster, as its agent does."""
        instance = self.launch(SubnetId=self.subnet)["Instances"][0]["InstanceId"]
        document = json.dumps({"instanceId": instance})
        made = self.ecs.register_container_instance(
            cluster=cluster, instanceIdentityDocument=document
        )
        return str(made["containerInstance"]["containerInstanceArn"])


@pytest.fixture(scope="module")
def account(strict: Control) -> Iterator[Account]:
    strict.reset()
    yield Account(strict)
    strict.reset()


@pytest.fixture
def settings(account: Account) -> Iterator[Callable[..., Any]]:
    """Change the emulator's settings for one test; all tests share the account."""
    before = account.control.settings()
    yield account.control.settings
    account.control.settings(**before)


Step = Callable[[Account], Any]


def nothing(_: Account) -> None:
    pass


def deleted_queue(a: Account, name: str = "deleted") -> None:
    a.sqs.delete_queue(QueueUrl=a.sqs.create_queue(QueueName=name)["QueueUrl"])


def attributes(**given: str) -> Step:
    name = f"attributes-{'-'.join(given)}"[:80]
    return lambda a: a.sqs.create_queue(QueueName=name, Attributes=given)


def redrive(count: int, target: str = "dead") -> Step:
    def create(a: Account) -> None:
        url = a.sqs.create_queue(QueueName="dead")["QueueUrl"]
        got = a.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = got["Attributes"]["QueueArn"].replace(":dead", f":{target}")
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": count})
        a.sqs.create_queue(
            QueueName=f"redrives{count}{target}", Attributes={"RedrivePolicy": policy}
        )

    return create


def launch(**data: Any) -> Step:
    return lambda a: a.launch(**{k: v(a) if callable(v) else v for k, v in data.items()})


def interface(**more: Any) -> Callable[[Account], list[dict[str, Any]]]:
    return lambda a: [
        {"DeviceIndex": 0, **{k: v(a) if callable(v) else v for k, v in more.items()}}
    ]


def root(size: int) -> list[dict[str, Any]]:
    return [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": size}}]


def target(total: int, demand: int) -> dict[str, Any]:
    return {
        "TotalTargetCapacity": total,
        "OnDemandTargetCapacity": demand,
        "DefaultTargetCapacityType": "spot",
    }


def draining(a: Account) -> None:
    a.control.settings(service_drains=600)
    a.service("drains")
    a.ecs.delete_service(cluster="cluster", service="drains")


def full_cluster(name: str) -> Step:
    def make(a: Account) -> None:
        a.ecs.create_cluster(clusterName=name)
        if name == "with-service":
            a.service("s", cluster=name)
        else:
            arn = a.machine(name)
        if name in ("with-task", "tasks-only"):
            a.ecs.start_task(cluster=name, taskDefinition="definition", containerInstances=[arn])

    return make


def delete_cluster(name: str) -> Step:
    return lambda a: a.ecs.delete_cluster(cluster=name)


def deregister(a: Account, force: bool, cluster: str = "with-task") -> None:
    (arn,) = a.ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
    a.ecs.deregister_container_instance(cluster=cluster, containerInstance=arn, force=force)


def tasks_without_a_machine(a: Account) -> None:
    full_cluster("tasks-only")(a)
    deregister(a, force=True, cluster="tasks-only")


def inactive_definition(a: Account) -> None:
    a.ecs.deregister_task_definition(taskDefinition=a.define("inactive")["taskDefinitionArn"])


def profile_of_role(a: Account) -> None:
    a.iam.create_role(RoleName="held", AssumeRolePolicyDocument=TRUST)
    a.iam.create_instance_profile(InstanceProfileName="holds")
    a.iam.add_role_to_instance_profile(InstanceProfileName="holds", RoleName="held")


def policy(length: int, name: str = "p") -> Step:
    resource = "arn:aws:s3:::" + "x" * length
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return lambda a: a.iam.put_role_policy(
        RoleName="task", PolicyName=name, PolicyDocument=document
    )


def define(**more: Any) -> Step:
    return lambda a: a.define(**{k: v(a) if callable(v) else v for k, v in more.items()})


SECRETS = {"secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:us-east-1:1:parameter/s"}]}


def role(a: Account) -> str:
    return str(a.role["Arn"])


# The `what` of the row; the step before; the refused step; a legal neighbour.
CASES: tuple[tuple[str, Step, Step, Step], ...] = (
    (
        "a queue with the name of a queue deleted less than 60 s ago",
        deleted_queue,
        lambda a: a.sqs.create_queue(QueueName="deleted"),
        lambda a: a.sqs.create_queue(QueueName="deleted2"),
    ),
    (
        "a queue that exists with different attributes",
        lambda a: a.sqs.create_queue(QueueName="q", Attributes={"DelaySeconds": "5"}),
        lambda a: a.sqs.create_queue(QueueName="q", Attributes={"DelaySeconds": "6"}),
        lambda a: a.sqs.create_queue(QueueName="q", Attributes={"DelaySeconds": "5"}),
    ),
    (
        "an unknown queue attribute",
        nothing,
        attributes(VisibilityTimeOut="30"),
        attributes(VisibilityTimeout="30"),
    ),
    (
        "a queue attribute out of range",
        nothing,
        attributes(MessageRetentionPeriod="1209601"),
        attributes(MessageRetentionPeriod="1209600"),
    ),
    (
        "a redrive policy whose target does not exist, or whose count is not 1 to 1,000",
        nothing,
        redrive(1001),
        redrive(1000),
    ),
    (
        "a redrive policy whose target does not exist, or whose count is not 1 to 1,000",
        nothing,
        redrive(5, "nowhere"),
        redrive(5),
    ),
    (
        "a FIFO queue (the emulator's own limit)",
        nothing,
        lambda a: a.sqs.create_queue(QueueName="f.fifo", Attributes={"FifoQueue": "true"}),
        lambda a: a.sqs.create_queue(QueueName="f_fifo"),
    ),
    (
        "queue tags that are too long, reserved, or contain invalid characters",
        nothing,
        lambda a: a.sqs.create_queue(QueueName="tags1", tags={"aws:x": "1"}),
        lambda a: a.sqs.create_queue(QueueName="tags1", tags={f"ds:{n}": "1/2" for n in range(51)}),
    ),
    (
        "a launch template ID that does not exist",
        nothing,
        lambda a: a.fleet(template="lt-00000000000000000"),
        lambda a: a.fleet(),
    ),
    (
        "a launch template name that does not exist",
        lambda a: a.ec2.create_launch_template(
            LaunchTemplateName="named", LaunchTemplateData=a.template()
        ),
        lambda a: a.fleet(name="nowhere"),
        lambda a: a.fleet(name="named"),
    ),
    (
        "a launch template version that does not exist",
        nothing,
        lambda a: a.fleet(version="2"),
        lambda a: a.fleet(version="1"),
    ),
    (
        "a launch template without a version",
        nothing,
        lambda a: a.fleet(version=None),
        lambda a: a.fleet(version="$Default"),
    ),
    (
        "both a network interface and top-level security groups",
        nothing,
        launch(NetworkInterfaces=interface(AssociatePublicIpAddress=True)),
        launch(
            NetworkInterfaces=interface(AssociatePublicIpAddress=True, Groups=lambda a: [a.group]),
            SecurityGroupIds=None,
        ),
    ),
    (
        "a subnet in a network interface and another at top level or in an override",
        nothing,
        lambda a: a.fleet(
            {
                "NetworkInterfaces": interface(SubnetId=a.subnet, Groups=[a.group])(a),
                "SecurityGroupIds": None,
            }
        ),
        lambda a: a.fleet(
            {
                "NetworkInterfaces": interface(Groups=[a.group])(a),
                "SecurityGroupIds": None,
            }
        ),
    ),
    (
        "a security group that does not exist",
        nothing,
        launch(SecurityGroupIds=["sg-00000000000000000"]),
        launch(SecurityGroupIds=lambda a: [a.group]),
    ),
    (
        "a subnet that does not exist",
        nothing,
        launch(SubnetId="subnet-00000000000000000"),
        launch(SubnetId=lambda a: a.subnet),
    ),
    (
        "a security group in another VPC than the subnet",
        nothing,
        launch(SecurityGroupIds=lambda a: [a.other_group], SubnetId=lambda a: a.subnet),
        launch(SecurityGroupIds=lambda a: [a.group], SubnetId=lambda a: a.subnet),
    ),
    ("a key pair that does not exist", nothing, launch(KeyName="no"), launch(KeyName=None)),
    (
        "an instance profile that does not exist",
        nothing,
        launch(IamInstanceProfile={"Name": "no"}),
        launch(IamInstanceProfile=None),
    ),
    (
        "no image",
        nothing,
        lambda a: a.fleet({"ImageId": None}),
        lambda a: a.fleet(),
    ),
    (
        "an image that does not exist",
        nothing,
        launch(ImageId="ami-00000000000000000"),
        launch(),
    ),
    (
        "a root volume smaller than the image's snapshot",
        nothing,
        launch(BlockDeviceMappings=root(29)),
        launch(BlockDeviceMappings=root(30)),
    ),
    (
        "an instance type that does not exist",
        nothing,
        launch(InstanceType="m5.enormous"),
        launch(InstanceType="m5.xlarge"),
    ),
    (
        "an image for another architecture than the instance type's",
        nothing,
        launch(ImageId=lambda a: a.arm),
        launch(ImageId=lambda a: a.arm, InstanceType="m6g.large"),
    ),
    (
        "overrides with two subnets in one zone, or with one type and subnet twice",
        nothing,
        lambda a: a.fleet(overrides=[{"SubnetId": a.subnet}, {"SubnetId": a.same_zone}]),
        lambda a: a.fleet(
            overrides=[{"SubnetId": a.subnet}, {"SubnetId": a.subnets[1]["SubnetId"]}]
        ),
    ),
    (
        "tags for resources other than the fleet, unless its type is instant",
        nothing,
        lambda a: a.fleet(
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]
        ),
        lambda a: a.fleet(
            TagSpecifications=[{"ResourceType": "fleet", "Tags": [{"Key": "k", "Value": "v"}]}]
        ),
    ),
    (
        "on-demand and spot targets above the total target",
        nothing,
        lambda a: a.fleet(TargetCapacitySpecification=target(1, 2)),
        lambda a: a.fleet(TargetCapacitySpecification=target(2, 2)),
    ),
    (
        "an operation in a cluster that does not exist or is deleted",
        nothing,
        lambda a: a.ecs.list_tasks(cluster="nowhere"),
        lambda a: a.ecs.list_tasks(cluster="cluster"),
    ),
    (
        "an operation in a cluster that does not exist or is deleted",
        lambda a: [a.ecs.create_cluster(clusterName="del"), a.ecs.delete_cluster(cluster="del")],
        lambda a: a.service("s", cluster="del"),
        lambda a: a.ecs.describe_clusters(clusters=["del"]),
    ),
    (
        "deleting a cluster with services",
        full_cluster("with-service"),
        delete_cluster("with-service"),
        lambda a: [
            a.ecs.delete_service(cluster="with-service", service="s", force=True),
            a.ecs.delete_cluster(cluster="with-service"),
        ],
    ),
    (
        "deleting a cluster with machines",
        full_cluster("with-machine"),
        delete_cluster("with-machine"),
        lambda a: [
            a.ecs.create_cluster(clusterName="empty"),
            a.ecs.delete_cluster(cluster="empty"),
        ],
    ),
    (
        "deregistering a machine with tasks, without force",
        full_cluster("with-task"),
        lambda a: deregister(a, force=False),
        lambda a: deregister(a, force=True),
    ),
    (
        "deleting a cluster with tasks",
        tasks_without_a_machine,
        delete_cluster("tasks-only"),
        lambda a: a.ecs.describe_clusters(clusters=["tasks-only"]),
    ),
    (
        "deregistering a machine that does not exist",
        nothing,
        lambda a: a.ecs.deregister_container_instance(
            cluster="cluster", containerInstance="f" * 32, force=True
        ),
        lambda a: a.ecs.deregister_container_instance(
            cluster="cluster", containerInstance=a.machine("cluster"), force=True
        ),
    ),
    (
        "a service with the name of a draining service",
        draining,
        lambda a: a.service("drains"),
        lambda a: a.service("drains-not"),
    ),
    (
        "a service that exists",
        lambda a: a.service("twice"),
        lambda a: a.service("twice", desiredCount=1),
        lambda a: a.service("once"),
    ),
    (
        "updating a service that does not exist",
        nothing,
        lambda a: a.ecs.update_service(cluster="cluster", service="no", desiredCount=0),
        lambda a: a.ecs.update_service(cluster="cluster", service="service", desiredCount=0),
    ),
    (
        "updating a deleted service",
        lambda a: [a.service("gone"), a.ecs.delete_service(cluster="cluster", service="gone")],
        lambda a: a.ecs.update_service(cluster="cluster", service="gone", desiredCount=0),
        lambda a: a.ecs.describe_services(cluster="cluster", services=["gone"]),
    ),
    (
        "deleting a service that does not exist",
        nothing,
        lambda a: a.ecs.delete_service(cluster="cluster", service="no"),
        lambda a: [
            a.service("to-delete"),
            a.ecs.delete_service(cluster="cluster", service="to-delete"),
        ],
    ),
    (
        "deleting a service with a desired count above 0, without force",
        lambda a: a.service("scaled", desiredCount=1),
        lambda a: a.ecs.delete_service(cluster="cluster", service="scaled"),
        lambda a: a.ecs.delete_service(cluster="cluster", service="scaled", force=True),
    ),
    (
        "a deployment that can neither stop nor start a task (0/100 can)",
        nothing,
        lambda a: a.service(
            "stuck",
            deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 100},
        ),
        lambda a: a.service("not-stuck"),
    ),
    (
        "a task definition that does not exist or is inactive",
        inactive_definition,
        lambda a: a.service("inactive", taskDefinition="inactive:1"),
        lambda a: a.service("active", taskDefinition="definition:1"),
    ),
    (
        "a family with characters other than A-Z a-z 0-9 _ -",
        nothing,
        define(family="a.b"),
        define(family="a_b"),
    ),
    (
        "container names that are missing, duplicate or invalid",
        nothing,
        define(container={"name": "a b"}),
        define(container={"name": "a-b"}),
    ),
    (
        "a task's cpu below an eighth of a core or above 192 cores",
        nothing,
        define(cpu="196609"),
        define(cpu="196608", container={"cpu": 300_000}),
    ),
    (
        "a container's memory below 6 MiB or below its reservation",
        nothing,
        define(container={"memory": 5}),
        define(container={"memory": 6}),
    ),
    (
        "environment variables without a name, or with the name of a secret",
        nothing,
        define(
            container={**SECRETS, "environment": [{"name": "S", "value": ""}]},
            executionRoleArn=role,
        ),
        define(
            container={**SECRETS, "environment": [{"name": "T", "value": ""}]},
            executionRoleArn=role,
        ),
    ),
    (
        "secrets without an execution role",
        nothing,
        define(container=SECRETS),
        define(container=SECRETS, executionRoleArn=role),
    ),
    (
        "a task or execution role that does not exist",
        nothing,
        define(taskRoleArn="arn:aws:iam::123456789012:role/no"),
        define(taskRoleArn=role),
    ),
    (
        "a task definition larger than 64 KiB",
        nothing,
        define(container={"environment": [{"name": "N", "value": "x" * 66_000}]}),
        define(container={"environment": [{"name": "N", "value": "x" * 60_000}]}),
    ),
    (
        "too many tags, or tags that are too long, reserved, or contain invalid characters",
        nothing,
        define(tags=[{"key": "k", "value": "v" * 257}]),
        define(tags=[{"key": "k", "value": "v" * 256}]),
    ),
    (
        "a policy that, with the other inline policies of its role or user, is too long",
        policy(5_000, "other"),
        policy(5_300),
        policy(4_900),
    ),
    (
        "deleting a role that is in an instance profile",
        profile_of_role,
        lambda a: a.iam.delete_role(RoleName="held"),
        lambda a: [
            a.iam.remove_role_from_instance_profile(InstanceProfileName="holds", RoleName="held"),
            a.iam.delete_role(RoleName="held"),
        ],
    ),
    (
        "a second service-linked role of a service",
        lambda a: a.iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com"),
        lambda a: a.iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com"),
        lambda a: a.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com"),
    ),
    (
        "a second role in an instance profile",
        lambda a: a.iam.create_role(RoleName="second", AssumeRolePolicyDocument=TRUST),
        lambda a: a.iam.add_role_to_instance_profile(
            InstanceProfileName="profile", RoleName="second"
        ),
        lambda a: [
            a.iam.create_instance_profile(InstanceProfileName="profile2"),
            a.iam.add_role_to_instance_profile(InstanceProfileName="profile2", RoleName="second"),
        ],
    ),
    (
        "a retention period that AWS does not offer",
        lambda a: a.logs.create_log_group(logGroupName="g"),
        lambda a: a.logs.put_retention_policy(logGroupName="g", retentionInDays=8),
        lambda a: a.logs.put_retention_policy(logGroupName="g", retentionInDays=7),
    ),
    (
        "a log group name that has characters other than A-Z a-z 0-9 _ - / . # or begins with aws/",
        nothing,
        lambda a: a.logs.create_log_group(logGroupName="a b"),
        lambda a: a.logs.create_log_group(logGroupName="/a#b_c.d-e"),
    ),
)


@pytest.mark.parametrize(
    ("what", "before", "step", "neighbour"),
    CASES,
    ids=[f"{n}-{what[:40]}" for n, (what, *_) in enumerate(CASES)],
)
def test_the_step_is_refused_and_its_neighbour_is_not(
    account: Account, what: str, before: Step, step: Step, neighbour: Step
) -> None:
    codes = {row.code for row in TABLE if row.what == what}
    before(account)
    with pytest.raises(ClientError) as refused:
        step(account)
    assert refused.value.response["Error"]["Code"] in codes
    assert refused.value.response["Error"]["Message"]
    neighbour(account)


def test_a_refusal_leaves_nothing_behind(account: Account) -> None:
    before = account.ec2.describe_fleets()["Fleets"]
    with pytest.raises(ClientError):
        account.fleet({"KeyName": "no"})
    assert account.ec2.describe_fleets()["Fleets"] == before


def test_a_wrong_launch_template_is_created_with_a_warning(account: Account) -> None:
    """AWS checks machines fully, but not their templates."""
    made = account.ec2.create_launch_template(
        LaunchTemplateName="wrong", LaunchTemplateData=account.template(KeyName="no")
    )
    assert [error["Code"] for error in made["Warning"]["Errors"]] == ["InvalidKeyPair.NotFound"]
    right = account.ec2.create_launch_template(
        LaunchTemplateName="right", LaunchTemplateData=account.template()
    )
    assert "Warning" not in right


def test_the_name_of_a_deleted_queue_is_free_after_the_configured_time(
    account: Account, settings: Callable[..., Any]
) -> None:
    settings(queue_name_blocked=3600)
    deleted_queue(account, "freed")
    with pytest.raises(account.sqs.exceptions.QueueDeletedRecently):
        account.sqs.create_queue(QueueName="freed")
    settings(queue_name_blocked=0.1)
    time.sleep(0.2)
    account.sqs.create_queue(QueueName="freed")


def test_a_service_drains_for_the_configured_time_and_then_frees_its_name(
    account: Account, settings: Callable[..., Any]
) -> None:
    settings(service_drains=0.3)
    account.service("drained")
    account.ecs.delete_service(cluster="cluster", service="drained")
    time.sleep(0.6)
    described = account.ecs.describe_services(cluster="cluster", services=["drained"])
    assert described["services"][0]["status"] == "INACTIVE"
    assert account.service("drained")["status"] == "ACTIVE"


def test_codes_are_in_the_service_models_of_botocore() -> None:
    """EC2 models have no codes, and no operation lists the codes common to all services."""
    common = {
        "AccessDenied",
        "AccessDeniedException",
        "InvalidParameterValue",
        "AWS.SimpleQueueService.UnsupportedOperation",
    }
    session = botocore.session.get_session()
    for row in TABLE:
        service, _, operation = row.operations[0].partition(":")
        if service == "ec2" or row.code in common:
            continue
        shapes = session.get_service_model(service).operation_model(operation).error_shapes
        codes = {shape.metadata.get("error", {}).get("code") or shape.name for shape in shapes}
        known = {*codes, *(shape.name for shape in shapes), "QueueAlreadyExists"}
        assert row.code.rpartition(".")[2] in known, (row.what, known)


def test_the_docs_page_matches_the_table() -> None:
    text = document.PAGE.read_text(encoding="utf-8")
    assert text == document.page(), "run python -m tests.emulator.aws"


def test_every_row_has_a_case() -> None:
    # The rows with IAM are tested in test_access.py.
    rows = {row.what for row in TABLE if "(only with IAM on)" not in row.what}
    assert rows == {what for what, *_ in CASES}
