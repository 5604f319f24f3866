"""`check` against the strict emulator: its questions to AWS, and the mistakes that it reports.

Every test begins with an account and files without problems, and breaks some of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ds.cloud.rights import CHECK, CONTROL_ROLE, RoleTarget, policies
from ds.control.files.fleet_file import EXAMPLE
from ds.jobs.links import docs_url
from tests.emulator.account import NUMBER, Account, Ended, make_account, make_roles
from tests.emulator.aws.client import Control
from tests.implementation import write_jobs

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/lab/it:1"
SETTINGS: dict[str, Any] = {
    "AWS_BUCKET": "lab-images",
    "DOCKERHUB_TAG": IMAGE,
    "MACHINE_TYPE": ["m5.large", "m6i.large"],
    "MACHINE_PRICE": 0.1,
}
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Lab:
    """An account and an implementation; `fleet` and `settings` are written when `check` runs."""

    account: Account
    fleet: dict[str, Any]
    settings: dict[str, Any]
    vpc: str

    def client(self, service: str) -> Any:
        return self.account.client(service)

    def run(self, *words: str, env: dict[str, str] | None = None) -> Ended:
        root = self.account.root
        self.account.configure(**self.settings)
        (root / EXAMPLE).write_text(json.dumps(self.fleet))
        return self.account.run("check", *(words or (str(root / "files/jobs.json"),)), env=env)

    def put_image(self, *architectures: str) -> None:
        parts = [
            {"platform": {"architecture": name, "os": "linux"}, "digest": f"sha256:{name}"}
            for name in (*architectures, "unknown")
        ]
        manifest = {"schemaVersion": 2, "mediaType": INDEX, "manifests": parts}
        self.client("ecr").put_image(
            repositoryName="lab/it", imageTag="1", imageManifest=json.dumps(manifest)
        )

    def subnet(self, vpc: str, block: str, zone: str) -> str:
        made = self.client("ec2").create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)
        return str(made["Subnet"]["SubnetId"])


@pytest.fixture
def lab(aws: Control, tmp_path: Path) -> Lab:
    variables = {"image": "file", "masks": "folder", "model": "file", "name": "text"}
    account = make_account(
        aws,
        tmp_path,
        command="measure {image} {masks} {model} {output_dir}",
        variables=variables,
        output_prefix="out/{name}",
        settings=SETTINGS,
    )
    groups = [
        {"name": str(n), "image": f"in/{n}.tif", "masks": f"masks/{n}/*.png"} for n in range(3)
    ]
    write_jobs(account.root, groups, {"model": "model.bin"}, "jobs.json")
    s3, ec2, iam = account.client("s3"), account.client("ec2"), account.client("iam")
    s3.create_bucket(Bucket="lab-images")
    for n in range(3):
        s3.put_object(Bucket="lab-images", Key=f"in/{n}.tif", Body=b"x")
        s3.put_object(Bucket="lab-images", Key=f"masks/{n}/a.png", Body=b"x")
    s3.put_object(Bucket="lab-images", Key="model.bin", Body=b"x")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="ours", Description="x", VpcId=vpc)["GroupId"]
    ec2.create_key_pair(KeyName="mine")
    iam.create_instance_profile(InstanceProfileName="ecsInstanceRole")
    account.client("ecr").create_repository(repositoryName="lab/it")
    lab = Lab(account, {}, dict(SETTINGS), vpc)
    lab.put_image("amd64")
    lab.fleet = {
        "subnets": [
            lab.subnet(vpc, "10.1.1.0/24", "us-east-1a"),
            lab.subnet(vpc, "10.1.2.0/24", "us-east-1b"),
        ],
        "security_groups": [group],
        "instance_profile": "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole",
        "key_name": "mine",
    }
    return lab


def test_no_problems_are_found_and_nothing_is_changed(lab: Lab) -> None:
    lab.account.control.forget_calls()
    ended = lab.run()
    assert (ended.code, ended.output) == (0, "No problems found.\n")
    calls = {call["operation"] for call in lab.account.control.calls()}
    looks = {name for name in calls if name.startswith(("Describe", "Get", "List", "Head"))}
    assert calls - looks == {"CreateMultipartUpload", "AbortMultipartUpload", "BatchGetImage"}
    assert "Uploads" not in lab.client("s3").list_multipart_uploads(Bucket="lab-images")


def no_region(lab: Lab) -> None:
    lab.settings["AWS_REGION"] = "us-esat-1"


def no_such_type(lab: Lab) -> None:
    lab.settings["MACHINE_TYPE"] = ["m5.large", "m5.lagre"]


def too_much_memory(lab: Lab) -> None:
    lab.settings["MEMORY"] = 7281


def too_many_cpus(lab: Lab) -> None:
    lab.settings["DOCKER_CORES"] = 3


def no_gpu(lab: Lab) -> None:
    lab.settings["GPUS"] = 1


def other_architecture(lab: Lab) -> None:
    lab.settings["MACHINE_TYPE"] = ["m6g.large"]


def no_image(lab: Lab) -> None:
    lab.client("ecr").batch_delete_image(repositoryName="lab/it", imageIds=[{"imageTag": "1"}])


def no_repository(lab: Lab) -> None:
    lab.client("ecr").delete_repository(repositoryName="lab/it", force=True)


def no_bucket(lab: Lab) -> None:
    lab.settings["AWS_BUCKET"] = "lab-imagse"


def denied(operation: str) -> Callable[[Lab], None]:
    def deny(lab: Lab) -> None:
        lab.account.control.fault(operation, "refused", times=None)

    return deny


def other_region(lab: Lab) -> None:
    lab.client("s3").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    lab.settings["AWS_BUCKET"] = "far"
    own = "s3://lab-images"
    group = {"name": "a", "image": f"{own}/in/0.tif", "masks": f"{own}/masks/0"}
    write_jobs(lab.account.root, [group], {"model": f"{own}/model.bin"}, "jobs.json")


def no_input(lab: Lab) -> None:
    lab.client("s3").delete_object(Bucket="lab-images", Key="in/2.tif")


def no_shared_input(lab: Lab) -> None:
    lab.client("s3").delete_object(Bucket="lab-images", Key="model.bin")


def no_file_of_the_pattern(lab: Lab) -> None:
    lab.client("s3").delete_object(Bucket="lab-images", Key="masks/0/a.png")
    lab.client("s3").put_object(Bucket="lab-images", Key="masks/0/a.txt", Body=b"x")


def no_subnet(lab: Lab) -> None:
    lab.client("ec2").delete_subnet(SubnetId=lab.fleet["subnets"][1])


def same_zone(lab: Lab) -> None:
    lab.fleet["subnets"].append(lab.subnet(lab.vpc, "10.1.3.0/24", "us-east-1a"))


def no_group(lab: Lab) -> None:
    lab.fleet["security_groups"] = ["sg-0123456789abcdef0"]


def other_vpc(lab: Lab) -> None:
    vpc = lab.client("ec2").create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    lab.fleet["subnets"][1] = lab.subnet(vpc, "10.2.1.0/24", "us-east-1b")


def no_key(lab: Lab) -> None:
    lab.fleet["key_name"] = "mine.pem"


def no_profile(lab: Lab) -> None:
    lab.client("iam").delete_instance_profile(InstanceProfileName="ecsInstanceRole")


def small_quota(lab: Lab) -> None:
    lab.account.control.settings(spot_vcpus=5)
    lab.settings["CLUSTER_MACHINES"] = 3


def low_price(lab: Lab) -> None:
    lab.settings["MACHINE_PRICE"] = 0.000001


def small_disk(lab: Lab) -> None:
    lab.settings["EBS_VOL_SIZE"] = 29


def placeholder(lab: Lab) -> None:
    lab.settings["AWS_BUCKET"] = "your-bucket-name"


ALONE: list[tuple[Callable[[Lab], None], str, str]] = [
    (no_region, "DS-REGION", "us-esat-1 is not a region that boto3 knows"),
    (other_architecture, "DS-ARCHITECTURE", f"m6g.large is arm64, but the image {IMAGE} is x86"),
    (no_image, "DS-IMAGE", "lab/it:1 does not exist in its registry"),
    (no_repository, "DS-IMAGE", "lab/it:1 does not exist in its registry"),
    (no_bucket, "DS-BUCKET", "bucket lab-imagse does not exist"),
    (denied("s3:HeadBucket"), "DS-BUCKET", "you are not allowed to list bucket lab-images"),
    (
        denied("s3:CreateMultipartUpload"),
        "DS-BUCKET",
        "you are not allowed to write to bucket lab-images",
    ),
    (placeholder, "DS-PLACEHOLDER", "AWS_BUCKET: still has the placeholder 'your-bucket-name'"),
    (other_region, "DS-BUCKET-REGION", "bucket far is in eu-west-1, but AWS_REGION is us-east-1"),
]


@pytest.mark.parametrize(("breaks", "code", "said"), ALONE)
def test_a_mistake_is_the_only_problem(
    lab: Lab, breaks: Callable[[Lab], None], code: str, said: str
) -> None:
    breaks(lab)
    ended = lab.run()
    assert ended.code == 1, ended.output
    assert said in ended.output
    assert set(codes(ended)) == {code}, ended.output


TOGETHER: list[list[tuple[Callable[[Lab], None], str, str]]] = [
    [
        (no_such_type, "DS-MACHINE", "m5.lagre does not exist in us-east-1"),
        (too_much_memory, "DS-MEMORY", "set MEMORY = 7280 or less"),
        (too_many_cpus, "DS-CPU", "m5.large has 2 vCPUs"),
        (no_gpu, "DS-GPU", "m5.large has 0 GPUs"),
    ],
    [
        (no_input, "DS-INPUT", "group 3: its input s3://lab-images/in/2.tif does not exist"),
        (
            no_shared_input,
            "DS-INPUT",
            "group 1: its input s3://lab-images/model.bin does not exist",
        ),
        (no_file_of_the_pattern, "DS-INPUT", "group 1: its input s3://lab-images/masks/0/*.png"),
    ],
    [
        (no_subnet, "DS-SUBNET", "fleet file, subnets: subnet-"),
        (no_group, "DS-GROUP", "sg-0123456789abcdef0 does not exist"),
        (no_key, "DS-KEY", "key pair mine.pem does not exist"),
        (no_profile, "DS-PROFILE", "instance profile arn:aws:iam::"),
        (small_quota, "DS-QUOTA", "(5 vCPUs of standard machines) is enough for 2"),
        (low_price, "DS-PRICE", "1e-06 is less than the current spot price of m5.large"),
        (low_price, "DS-PRICE", "1e-06 is less than the current spot price of m6i.large"),
        (small_disk, "DS-DISK", "29 GB is smaller than the machine image (30 GB)"),
    ],
    [
        (other_vpc, "DS-VPC", "are in different VPCs"),
        (same_zone, "DS-ZONE", "are all in us-east-1a"),
    ],
]


@pytest.mark.parametrize("mistakes", TOGETHER)
def test_several_mistakes_are_reported_at_once(
    lab: Lab, mistakes: list[tuple[Callable[[Lab], None], str, str]]
) -> None:
    for breaks, _, _ in mistakes:
        breaks(lab)
    ended = lab.run()
    assert ended.code == 1, ended.output
    for _, _, said in mistakes:
        assert said in ended.output
    assert sorted(codes(ended)) == sorted(code for _, code, _ in mistakes), ended.output


def codes(ended: Ended) -> list[str]:
    return [line.split()[0] for line in ended.output.splitlines() if line.startswith("DS-")]


QUESTIONS = [
    ("ec2:DescribeSubnets", "the subnets"),
    ("ec2:DescribeSecurityGroups", "the security groups"),
    ("ec2:DescribeKeyPairs", "the key pair"),
    ("iam:GetInstanceProfile", "the instance profile"),
    ("ecr:BatchGetImage", "the image"),
    ("service-quotas:GetServiceQuota", "the spot quota"),
    ("ec2:DescribeSpotPriceHistory", "the spot prices"),
    ("ssm:GetParameter", "the machine image's size"),
    ("s3:ListObjectsV2", "s3://lab-images/model.bin"),
    ("s3:ListObjectsV2", "s3://lab-images/in/0.tif"),
    ("s3:ListObjectsV2", "s3://lab-images/in/1.tif"),
    ("s3:ListObjectsV2", "s3://lab-images/in/2.tif"),
    ("s3:ListObjectsV2", "s3://lab-images/masks/0/*.png"),
    ("s3:ListObjectsV2", "s3://lab-images/masks/1/*.png"),
    ("s3:ListObjectsV2", "s3://lab-images/masks/2/*.png"),
]


def test_the_answers_of_refused_questions_are_unknown(lab: Lab) -> None:
    denied("s3:HeadObject")(lab)
    for operation, _ in QUESTIONS:
        denied(operation)(lab)
    ended = lab.run()
    for operation, message in QUESTIONS:
        assert f"unknown: {message}: AWS refused {operation.split(':')[1]}" in ended.output
    assert ended.output.count("unknown: ") == len(QUESTIONS)
    assert ended.code == 0, ended.output
    assert codes(ended) == []


def test_without_machine_types_quota_and_price_are_not_asked(lab: Lab) -> None:
    denied("ec2:DescribeInstanceTypes")(lab)
    ended = lab.run()
    assert ended.output.startswith("unknown: the machine types: AWS refused DescribeInstanceTypes")
    assert ended.output.count("unknown: ") == 1
    assert ended.code == 0


def test_all_problems_are_in_the_json(lab: Lab) -> None:
    for breaks in (too_much_memory, no_key, small_quota, no_input):
        breaks(lab)
    jobs = str(lab.account.root / "files/jobs.json")
    ended = lab.run(jobs, "--json")
    document = json.loads(ended.output)
    found = [finding["code"] for finding in document["findings"]]
    assert found == ["DS-MEMORY", "DS-MEMORY", "DS-INPUT", "DS-KEY", "DS-QUOTA"]
    assert document["exit_code"] == ended.code == 1
    assert document["findings"][0]["link"] == docs_url("findings", "ds-memory")


@pytest.mark.parametrize(
    ("env", "fault", "code", "said"),
    [
        ({}, "ExpiredToken", "DS-CREDENTIALS", "the credentials have expired"),
        ({}, "InvalidClientTokenId", "DS-CREDENTIALS", "the keys of profile default are not"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "", "DS-CREDENTIALS", "no compl"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "", "DS-UNREACHABLE", "cannot be reached"),
    ],
)
def test_without_an_account_other_problems_are_reported_with_exit_code_3(
    lab: Lab, env: dict[str, str], fault: str, code: str, said: str
) -> None:
    if fault:
        for operation in ("sts:GetCallerIdentity", "ec2:DescribeRegions"):
            lab.account.control.fault(operation, "refused", code=fault, times=None)
    placeholder(lab)
    ended = lab.run(env={"AWS_MAX_ATTEMPTS": "1", **env})
    assert ended.code == 3, ended.output
    lines = [line for line in ended.output.splitlines() if line.startswith("DS-")]
    assert [line.split()[0] for line in lines] == [code, "DS-PLACEHOLDER"]
    assert said in ended.output
    assert "Traceback" not in ended.output


def test_a_profile_that_does_not_exist_is_reported(lab: Lab) -> None:
    lab.settings["AWS_PROFILE"] = "nobody"
    ended = lab.run()
    assert ended.code == 3
    assert "DS-CREDENTIALS The config profile (nobody) could not be found" in ended.output


def test_offline_does_not_ask_aws(lab: Lab) -> None:
    lab.account.control.forget_calls()
    too_much_memory(lab)
    ended = lab.run("--offline")
    assert ended.code == 0
    assert ended.output.startswith("unknown: everything that AWS must answer: --offline\n")
    assert lab.account.control.calls() == []


def test_an_invalid_job_file_does_not_hide_the_answers_of_aws(lab: Lab) -> None:
    small_disk(lab)
    path = lab.account.root / "files/jobs.json"
    path.write_text("{")
    ended = lab.run()
    assert ended.code == 2
    assert "DS-JOBS " in ended.output
    assert "DS-DISK " in ended.output


def test_inputs_that_can_only_be_listed_are_found(lab: Lab) -> None:
    denied("s3:HeadObject")(lab)
    assert lab.run().output == "No problems found.\n"
    no_input(lab)
    lab.client("s3").put_object(Bucket="lab-images", Key="in/2.tiff", Body=b"x")
    ended = lab.run()
    assert codes(ended) == ["DS-INPUT"]
    assert "s3://lab-images/in/2.tif does not exist" in ended.output


def allow(account: Account, without: Collection[str] = ()) -> dict[str, str]:
    """Return credentials with exactly the rights of the control role, except some.

    The emulator supports no conditions, and resources only of S3: the others are left out.
    """
    where = RoleTarget("aws", NUMBER, "lab-images", "Test")
    for name, document in policies(where)[CONTROL_ROLE].items():
        for statement in document["Statement"]:
            statement.pop("Condition", None)
            if not statement["Action"][0].startswith("s3:"):
                statement["Resource"] = "*"
            kept = [action for action in statement["Action"] if action not in without]
            statement["Action"] = kept or ["x:Nothing"]
        account.client("iam").put_role_policy(
            RoleName=CONTROL_ROLE, PolicyName=name, PolicyDocument=json.dumps(document)
        )
    return account.control.role(CONTROL_ROLE)


MISSED = {
    "ec2:DescribeImages": "unknown: the machine image's size: AWS refused DescribeImages",
    "ec2:DescribeKeyPairs": "unknown: the key pair: ",
    "ec2:DescribeSecurityGroups": "unknown: the security groups: ",
    "ec2:DescribeSpotPriceHistory": "unknown: the spot prices: ",
    "ec2:DescribeSubnets": "unknown: the subnets: ",
    "servicequotas:GetServiceQuota": "unknown: the spot quota: ",
    "iam:GetInstanceProfile": "unknown: the instance profile: ",
    "ecr:BatchGetImage": "unknown: the image: ",
    "s3:PutObject": "DS-BUCKET config.py, AWS_BUCKET: you are not allowed to write to",
}
"""What is reported without a right. Some questions depend on others, which are in OTHERS."""
OTHERS = {
    "ec2:DescribeInstanceTypes": "unknown: the machine types: ",
    "ssm:GetParameter": "unknown: the machine image's size: AWS refused GetParameter",
    "s3:AbortMultipartUpload": "unknown: the bucket: AWS refused AbortMultipartUpload",
}
UNSEEN = {"ecr:GetDownloadUrlForLayer"}  # moto has no answer to it


def test_the_control_role_has_exactly_the_rights_that_check_needs(lab: Lab) -> None:
    actions = {action for right in CHECK for action in right.actions.split()}
    assert actions == {*MISSED, *OTHERS, *UNSEEN}
    make_roles(lab.account)
    control = lab.account.control
    for without in ({}, MISSED, OTHERS):
        keys = allow(lab.account, without)
        control.enforce()
        ended = lab.run(env=keys)
        control.enforce(on=False)
        said = [line for line in ended.output.splitlines() if line.startswith(("unknown", "DS-"))]
        assert len(said) == len(without), ended.output
        for words in without.values():
            assert any(line.startswith(words) for line in said), words
