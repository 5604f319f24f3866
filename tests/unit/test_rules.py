"""`check`: the problem that each rule reports, its silence after the fix, and the report."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ds.control.checks.rules import (
    CODES,
    QUOTAS,
    AwsFacts,
    Bucket,
    Given,
    Image,
    Machine,
    Place,
    Unknown,
    find_problems,
    fitting_memory,
    quota_kind,
)
from ds.control.commands.check import Report, answers, check, known_regions, sample
from ds.control.files.config_file import check_config
from ds.control.files.fleet_file import EXAMPLE, Fleet, read_fleet_file
from ds.jobs.links import DOCS_URL
from ds.jobs.problems import BadInput, Problem
from tests.implementation import make_implementation, write_jobs

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/lab/it:1"
FLEET = Fleet(("subnet-1",), ("sg-1",), "ecsInstanceRole", "mine")
LARGE = Machine(8192, 2)
XLARGE = Machine(16384, 4)
ARM = Machine(8192, 2, architectures=("arm64",))
GPU = Machine(16384, 4, gpus=1)


def given(
    fleet: Fleet | None = FLEET, files: dict[str, Any] | None = None, **settings: Any
) -> Given:
    """Return files without problems, with these changes."""
    values = {
        "APP_NAME": "Test",
        "AWS_BUCKET": "lab-images",
        "DOCKERHUB_TAG": "lab/it:1",
        "MACHINE_TYPE": ["m5.large"],
    }
    read = check_config({**values, **settings})
    return Given(read, fleet, regions=frozenset({"us-east-1", "eu-west-1"}), **(files or {}))


def facts(**changes: Any) -> AwsFacts:
    """Return an account without problems, with these changes."""
    fine = AwsFacts(
        enabled=True,
        machines={"m5.large": LARGE},
        bucket=Bucket("exists", "us-east-1", True),
        image=Image(True, ("x86_64",)),
        subnets={"subnet-1": Place("vpc-1", "us-east-1a")},
        groups={"sg-1": Place("vpc-1")},
        key=True,
        profile=True,
        quotas={"standard": 64},
        prices={"m5.large": 0.04},
        snapshot_gb=30,
    )
    return replace(fine, **changes)


ANSWERS = {"docker_base_image": "debian:12", "docker_image": "lab/it:1"}

FOUND: list[tuple[str, str, Given, AwsFacts, Given, AwsFacts]] = [
    # Code, a part of the problem, wrong files and account, fixed files and account.
    (
        "DS-PLACEHOLDER",
        "config.py, AWS_BUCKET: still has the placeholder 'your-bucket-name'",
        given(AWS_BUCKET="your-bucket-name"),
        facts(bucket=None),
        given(),
        facts(),
    ),
    (
        "DS-PLACEHOLDER",
        "config.py, DOCKERHUB_TAG: still has the placeholder 'user/'",
        given(DOCKERHUB_TAG="user/distributed-it:latest"),
        facts(image=None),
        given(DOCKERHUB_TAG="superuser/distributed-it:latest"),
        facts(),
    ),
    (
        "DS-PLACEHOLDER",
        "config.py, LIBRARY: still has the placeholder 'https://x.org/your-library'",
        given(LIBRARY=["a", "https://x.org/your-library"]),
        facts(),
        given(LIBRARY=["a", "https://x.org/colour-library"]),
        facts(),
    ),
    (
        "DS-PLACEHOLDER",
        "fleet file, subnets: still has the placeholder 'subnet-your-id'",
        given(replace(FLEET, subnets=("subnet-your-id",))),
        facts(subnets={}),
        given(),
        facts(),
    ),
    (
        "DS-PLACEHOLDER",
        "fleet file, security_groups: still has the placeholder 'sg-ZZZZZZZZZ'",
        given(replace(FLEET, security_groups=("sg-ZZZZZZZZZ",))),
        facts(groups={}),
        given(),
        facts(),
    ),
    (
        "DS-PLACEHOLDER",
        "fleet file, key_name: still has the placeholder 'your_key_file_name'",
        given(replace(FLEET, key_name="your_key_file_name")),
        facts(key=None),
        given(),
        facts(),
    ),
    (
        "DS-ANSWERS",
        "Dockerfile: FROM is debian:13, but docker_base_image in .cruft.json is debian:12",
        given(files={"answers": ANSWERS, "base": "debian:13"}),
        facts(),
        given(files={"answers": ANSWERS, "base": "debian:12"}),
        facts(),
    ),
    (
        "DS-ANSWERS",
        "config.py, DOCKERHUB_TAG: is 'lab/other:1', but docker_image in .cruft.json is lab/it:1",
        given(DOCKERHUB_TAG="lab/other:1", files={"answers": ANSWERS}),
        facts(),
        given(DOCKERHUB_TAG="lab/it:2", files={"answers": ANSWERS}),
        facts(),
    ),
    (
        "DS-ANSWERS",
        "host:5000/it",
        given(files={"answers": {"docker_image": "host:5000/it"}}),
        facts(),
        given(files={"answers": {"docker_image": "user/it:latest"}}),
        facts(),
    ),
    (
        "DS-REGION",
        "us-esat-1 is not a region that boto3 knows",
        given(AWS_REGION="us-esat-1"),
        AwsFacts(),
        given(AWS_REGION="eu-west-1"),
        facts(bucket=Bucket("exists", "eu-west-1", True)),
    ),
    (
        "DS-REGION",
        "us-east-1 is not enabled in this account",
        given(),
        AwsFacts(enabled=False),
        given(),
        facts(),
    ),
    (
        "DS-MACHINE",
        "m5.lrage does not exist in us-east-1",
        given(MACHINE_TYPE=["m5.lrage"]),
        facts(machines={"m5.lrage": None}),
        given(),
        facts(),
    ),
    (
        "DS-MEMORY",
        "7281 MB x 1 container does not fit m5.large (8192 MB, about 7280 MB usable)",
        given(MEMORY=7281),
        facts(),
        given(MEMORY=7280),
        facts(),
    ),
    (
        "DS-MEMORY",
        "4000 MB x 2 containers does not fit m5.large (8192 MB, about 7280 MB usable)",
        given(TASKS_PER_MACHINE=2),
        facts(),
        given(TASKS_PER_MACHINE=2),
        facts(machines={"m5.large": XLARGE}),
    ),
    (
        "DS-CPU",
        "m5.large has 2 vCPUs, but DOCKER_CORES x CPUS_PER_JOB x TASKS_PER_MACHINE is 4",
        given(CPUS_PER_JOB=2, DOCKER_CORES=2),
        facts(),
        given(CPUS_PER_JOB=2),
        facts(),
    ),
    (
        "DS-CPU",
        "TASKS_PER_MACHINE is 3",
        given(TASKS_PER_MACHINE=3, MEMORY=100),
        facts(),
        given(TASKS_PER_MACHINE=2, MEMORY=100),
        facts(),
    ),
    (
        "DS-GPU",
        "m5.large has 0 GPUs, but GPUS x TASKS_PER_MACHINE is 1",
        given(GPUS=1),
        facts(),
        given(GPUS=1),
        facts(machines={"m5.large": GPU}),
    ),
    (
        "DS-GPU",
        "m5.large has 1 GPU, but GPUS x TASKS_PER_MACHINE is 2",
        given(GPUS=1, TASKS_PER_MACHINE=2),
        facts(machines={"m5.large": GPU}),
        given(GPUS=1, TASKS_PER_MACHINE=2),
        facts(machines={"m5.large": replace(GPU, gpus=2)}),
    ),
    (
        "DS-ARCHITECTURE",
        "m5.large is x86_64, but the image lab/it:1 is arm64",
        given(),
        facts(image=Image(True, ("arm64",))),
        given(),
        facts(image=Image(True, ("arm64", "x86_64"))),
    ),
    (
        "DS-ARCHITECTURE",
        "the types have different architectures: m5.large x86_64, m6g.large arm64",
        given(),
        facts(image=None, machines={"m5.large": LARGE, "m6g.large": ARM}),
        given(),
        facts(image=None, machines={"m6g.xlarge": ARM, "m6g.large": ARM}),
    ),
    (
        "DS-IMAGE",
        "DOCKERHUB_TAG: has no value",
        given(DOCKERHUB_TAG=""),
        facts(image=None),
        given(),
        facts(),
    ),
    (
        "DS-IMAGE",
        f"{ECR} does not exist in its registry",
        given(DOCKERHUB_TAG=ECR),
        facts(image=Image(False)),
        given(DOCKERHUB_TAG=ECR),
        facts(),
    ),
    (
        "DS-BUCKET",
        "bucket lab-images does not exist",
        given(),
        facts(bucket=Bucket("missing")),
        given(),
        facts(),
    ),
    (
        "DS-BUCKET",
        "you are not allowed to list bucket lab-images",
        given(),
        facts(bucket=Bucket("denied", "us-east-1")),
        given(),
        facts(bucket=None),
    ),
    (
        "DS-BUCKET",
        "you are not allowed to write to bucket lab-images",
        given(),
        facts(bucket=Bucket("exists", "us-east-1", False)),
        given(),
        facts(bucket=Bucket("exists", "us-east-1", None)),
    ),
    (
        "DS-BUCKET-REGION",
        "bucket lab-images is in eu-west-1, but AWS_REGION is us-east-1",
        given(),
        facts(bucket=Bucket("exists", "eu-west-1", True)),
        given(),
        facts(bucket=Bucket("exists", None, True)),
    ),
    (
        "DS-INPUT",
        "job file, group 7: its input s3://lab-images/a.tif does not exist",
        given(),
        facts(missing={"s3://lab-images/a.tif": 7}),
        given(),
        facts(),
    ),
    (
        "DS-SUBNET",
        "subnet-1 does not exist in us-east-1",
        given(),
        facts(subnets={"subnet-1": None}),
        given(),
        facts(),
    ),
    (
        "DS-ZONE",
        "subnet-1, subnet-2 are all in us-east-1a",
        given(),
        facts(subnets=dict.fromkeys(["subnet-1", "subnet-2"], Place("vpc-1", "us-east-1a"))),
        given(),
        facts(
            subnets={
                "subnet-1": Place("vpc-1", "us-east-1a"),
                "subnet-2": Place("vpc-1", "us-east-1b"),
            }
        ),
    ),
    (
        "DS-GROUP",
        "sg-1 does not exist in us-east-1",
        given(),
        facts(groups={"sg-1": None}),
        given(),
        facts(),
    ),
    (
        "DS-VPC",
        "subnets and security groups are in different VPCs: subnet-1 in vpc-1, sg-1 in vpc-2",
        given(),
        facts(groups={"sg-1": Place("vpc-2")}),
        given(),
        facts(groups=None),
    ),
    (
        "DS-KEY",
        "key pair mine does not exist in us-east-1",
        given(),
        facts(key=False),
        given(replace(FLEET, key_name="")),
        facts(key=None),
    ),
    (
        "DS-PROFILE",
        "instance profile ecsInstanceRole does not exist",
        given(),
        facts(profile=False),
        given(),
        facts(profile=None),
    ),
    (
        "DS-QUOTA",
        "is 3, but the account's spot quota (5 vCPUs of standard machines) is enough for 2",
        given(CLUSTER_MACHINES=3),
        facts(quotas={"standard": 5}),
        given(CLUSTER_MACHINES=2),
        facts(quotas={"standard": 5}),
    ),
    (
        "DS-QUOTA",
        "is enough for 3",
        given(CLUSTER_MACHINES=4),
        facts(
            machines={"m5.large": LARGE, "m5.xlarge": XLARGE, "g4dn.xlarge": GPU},
            quotas={"standard": 4, "G and VT": 4},
        ),
        given(CLUSTER_MACHINES=3),
        facts(
            machines={"m5.large": LARGE, "m5.xlarge": XLARGE, "g4dn.xlarge": GPU},
            quotas={"standard": 4, "G and VT": 4},
        ),
    ),
    (
        "DS-QUOTA",
        "is enough for 0",
        given(),
        facts(quotas={"standard": 0}),
        given(),
        facts(quotas={}),
    ),
    (
        "DS-PRICE",
        "MACHINE_PRICE: 0.04 is less than the current spot price of m5.large, 0.05",
        given(MACHINE_PRICE=0.04),
        facts(prices={"m5.large": 0.05}),
        given(MACHINE_PRICE=0.05),
        facts(prices={"m5.large": 0.05}),
    ),
    (
        "DS-DISK",
        "EBS_VOL_SIZE: 29 GB is smaller than the machine image (30 GB)",
        given(EBS_VOL_SIZE=29),
        facts(),
        given(EBS_VOL_SIZE=30),
        facts(),
    ),
]


@pytest.mark.parametrize(("code", "said", "files", "aws", "fixed", "fixed_aws"), FOUND)
def test_each_mistake_is_the_only_problem_and_is_gone_after_the_fix(
    code: str, said: str, files: Given, aws: AwsFacts, fixed: Given, fixed_aws: AwsFacts
) -> None:
    (found,) = find_problems(files, aws)
    assert found.code == code
    assert said in found.statement
    assert found.hint
    assert find_problems(fixed, fixed_aws) == []


def test_every_code_is_tested_here() -> None:
    reported_otherwise = {
        *("DS-CONFIG", "DS-JOBS", "DS-FLEET", "DS-CREDENTIALS", "DS-UNREACHABLE", "DS-BUILT")
    }
    assert {row[0] for row in FOUND} | reported_otherwise == set(CODES)
    assert len(set(CODES)) == len(CODES)


def test_what_is_not_known_is_not_reported() -> None:
    assert find_problems(given(None), AwsFacts()) == []
    assert find_problems(given(MACHINE_PRICE=0.01, CLUSTER_MACHINES=9), AwsFacts()) == []


def test_all_problems_are_reported_at_once() -> None:
    files = given(MEMORY=9000, EBS_VOL_SIZE=8, GPUS=1, AWS_BUCKET="your-bucket-name")
    aws = facts(key=False, profile=False, subnets={"subnet-1": None})
    codes = [found.code for found in find_problems(files, aws)]
    assert codes == [
        *("DS-PLACEHOLDER", "DS-MEMORY", "DS-GPU", "DS-SUBNET", "DS-KEY", "DS-PROFILE", "DS-DISK")
    ]


@pytest.mark.parametrize(
    ("mib", "tasks", "largest"),
    [
        (8192, 1, 7280),
        (8192, 2, 3640),
        (16384, 1, 14817),
        (16384, 4, 3704),
        (512, 4, 53),
    ],
)
def test_the_largest_memory_that_fits(mib: int, tasks: int, largest: int) -> None:
    assert fitting_memory(Machine(mib, 2), tasks) == largest
    assert largest * tasks <= 0.92 * mib - 256
    assert (largest + 1) * tasks > 0.92 * mib - 256


def test_the_suggested_memory_fits() -> None:
    (found,) = find_problems(given(MEMORY=8000), facts())
    largest = int(found.hint.split("MEMORY = ")[1].split()[0])
    assert find_problems(given(MEMORY=largest), facts()) == []


@pytest.mark.parametrize(
    ("machine", "kind"),
    [
        ("m5.large", "standard"),
        ("c7g.large", "standard"),
        ("im4gn.large", "standard"),
        ("d3.xlarge", "standard"),
        ("t3.micro", "standard"),
        ("z1d.large", "standard"),
        ("g4dn.xlarge", "G and VT"),
        ("gr6.4xlarge", "G and VT"),
        ("vt1.3xlarge", "G and VT"),
        ("p3.2xlarge", "P"),
        ("p5.48xlarge", "P5"),
        ("p6-b200.48xlarge", None),
        ("x1e.xlarge", "X"),
        ("f1.2xlarge", "F"),
        ("inf1.xlarge", "Inf"),
        ("trn1.2xlarge", "Trn"),
        ("dl1.24xlarge", "DL"),
        ("hpc6a.48xlarge", None),
        ("u-6tb1.112xlarge", None),
        ("mac1.metal", None),
    ],
)
def test_the_quota_that_a_type_counts_towards(machine: str, kind: str | None) -> None:
    assert quota_kind(machine) == kind
    assert kind is None or kind in QUOTAS


# --- The files ------------------------------------------------------------------------------------


DOCUMENT: dict[str, Any] = {
    "_comment": "x",
    "subnets": ["subnet-1", "subnet-2"],
    "security_groups": ["sg-1"],
    "instance_profile": "ecsInstanceRole",
}


def write_fleet(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "fleet.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_fleet_file_is_read(tmp_path: Path) -> None:
    read = read_fleet_file(write_fleet(tmp_path, DOCUMENT))
    assert read == Fleet(("subnet-1", "subnet-2"), ("sg-1",), "ecsInstanceRole", "", False)


BAD_FLEETS = [
    ("{", ["fleet.json line 1, column 2: is not valid JSON: "]),
    ([], ["fleet.json: is not a JSON object; copy files/exampleFleet.json"]),
    (
        {},
        [
            "fleet.json, subnets: has no value; must be a list such as",
            "fleet.json, security_groups: has no value",
            "fleet.json, instance_profile: has no value",
        ],
    ),
    (
        {**DOCUMENT, "Subnet": 1, "thing": 1},
        ["Subnet: unknown key; did you mean subnets?", "thing: unknown key; remove it"],
    ),
    ({"LaunchSpecifications": None}, ["is a spot fleet request of Distributed-Something"]),
    ({"LaunchSpecifications": [{"NetworkInterfaces": 3}]}, ["; copy files/exampleFleet.json"]),
    pytest.param("[" * 100_000, ["fleet.json: cannot be read: "], id="deep"),
    ({**DOCUMENT, "subnets": []}, ["fleet.json, subnets: is []; must be a list such as"]),
    ({**DOCUMENT, "subnets": "subnet-1"}, ["subnets: is 'subnet-1'; must be a list such as"]),
    ({**DOCUMENT, "subnets": ["sg-1"]}, ["subnets: is ['sg-1']; must be a list such as"]),
    ({**DOCUMENT, "security_groups": [3]}, ["security_groups: is [3]; must be a list such as"]),
    ({**DOCUMENT, "instance_profile": ""}, ["instance_profile: is ''; must be the name of an"]),
    ({**DOCUMENT, "key_name": None}, ["key_name: is None; must be the name of a key pair"]),
    ({**DOCUMENT, "public_address": "yes"}, ["public_address: is 'yes'; must be true or false"]),
]


@pytest.mark.parametrize(("document", "said"), BAD_FLEETS)
def test_a_fleet_file_that_cannot_be_used_is_told(
    tmp_path: Path, document: object, said: list[str]
) -> None:
    with pytest.raises(BadInput) as refused:
        read_fleet_file(write_fleet(tmp_path, document))
    lines = str(refused.value).splitlines()
    assert len(lines) == len(said)
    for line, part in zip(lines, said, strict=True):
        assert part in line


def test_a_spot_fleet_request_of_the_family_is_told_what_to_write(tmp_path: Path) -> None:
    request = {
        "IamFleetRole": "arn:aws:iam::1:role/aws-ec2-spot-fleet-tagging-role",
        "LaunchSpecifications": [
            {
                "KeyName": "mine",
                "IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/ecsInstanceRole"},
                "NetworkInterfaces": [
                    {
                        "SubnetId": "subnet-1",
                        "AssociatePublicIpAddress": True,
                        "Groups": ["sg-1"],
                    }
                ],
            }
        ],
    }
    with pytest.raises(BadInput, match="is a spot fleet request") as refused:
        read_fleet_file(write_fleet(tmp_path, request))
    instead = refused.value.problems[0].hint.removeprefix("replace it with ")
    assert read_fleet_file(write_fleet(tmp_path, instead)) == Fleet(
        ("subnet-1",), ("sg-1",), "ecsInstanceRole", "mine", True
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ('{"context": {"cookiecutter": {"gpus": 1}}}', {"gpus": "1"}),
        ('{"context": {"cookiecutter": []}}', {}),
        ('{"context": []}', {}),
        ("{}", {}),
        ("[]", {}),
        ("[", {}),
        (None, {}),
    ],
)
def test_answers_are_read_from_the_file_of_cruft(
    tmp_path: Path, state: str | None, expected: dict[str, str]
) -> None:
    if state is not None:
        (tmp_path / ".cruft.json").write_text(state)
    assert answers(tmp_path) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 1_000_000])
def test_the_first_the_last_and_some_groups_between_are_checked(count: int) -> None:
    numbers = sample(count, random.Random(1))
    assert {1, count} <= numbers
    assert numbers <= set(range(1, count + 1))
    assert len(numbers) == min(count, 7)
    assert count < 1000 or numbers != sample(count, random.Random(2))


def test_the_regions_of_all_partitions_are_known() -> None:
    assert {"us-east-1", "cn-north-1", "us-gov-west-1"} <= known_regions()
    assert "us-esat-1" not in known_regions()


# --- The command, without AWS ---------------------------------------------------------------------


PROBLEM = Problem("config.py", "it is small", "enlarge it", code="DS-DISK")
WARNING = Problem("config.py, X", "is odd", "remove it", warning=True, code="DS-CONFIG")
REPORT = Report((PROBLEM, WARNING), (Unknown("the key", "denied"),))
LINK = f"{DOCS_URL}/findings/#ds-disk"


@pytest.mark.parametrize(
    ("codes", "exit_code"),
    [
        ([], 0),
        (["DS-DISK"], 1),
        (["DS-DISK", "DS-CREDENTIALS"], 3),
        (["DS-UNREACHABLE"], 3),
        (["DS-UNREACHABLE", "DS-CONFIG", "DS-DISK"], 2),
        (["DS-JOBS"], 2),
        (["DS-FLEET"], 2),
    ],
)
def test_exit_codes(codes: list[str], exit_code: int) -> None:
    found = [replace(PROBLEM, code=code) for code in codes]
    assert Report((*found, WARNING)).exit_code == exit_code


def test_a_report_for_a_person_has_problems_hints_and_links() -> None:
    assert REPORT.lines() == [
        "warning: config.py, X: is odd; remove it",
        "unknown: the key: denied",
        "DS-DISK config.py: it is small",
        f"  enlarge it ({LINK})",
        "1 problem found.",
    ]
    assert Report((PROBLEM, PROBLEM)).lines()[-1] == "2 problems found."
    assert Report().lines() == ["No problems found."]


def test_a_report_as_json_is_one_object() -> None:
    assert json.loads(REPORT.json()) == {
        "exit_code": 1,
        "findings": [
            {
                "code": "DS-DISK",
                "message": "config.py: it is small",
                "hint": "enlarge it",
                "link": LINK,
            }
        ],
        "warnings": ["config.py, X: is odd; remove it"],
        "unknown": [{"message": "the key", "why": "denied"}],
    }


GOOD = {"DOCKERHUB_TAG": "lab/it:1"}


FLEET_FILE = {
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
    "instance_profile": "ecsInstanceRole",
}


def offline(root: Path, jobs: bool = True, fleet: Path | None = None) -> Report:
    return check(root, root / "files/exampleJob.json" if jobs else None, fleet, offline=True)


def test_good_files_have_no_problems(tmp_path: Path) -> None:
    root = make_implementation(tmp_path, settings=GOOD)
    (root / EXAMPLE).write_text(json.dumps(FLEET_FILE))
    report = offline(root)
    assert report.problems == []
    assert report.unknown == (Unknown("everything that AWS must answer", "--offline"),)
    assert report.exit_code == 0


def test_a_missing_fleet_file_is_reported_as_unknown(tmp_path: Path) -> None:
    report = offline(make_implementation(tmp_path, settings=GOOD))
    reason = f"{EXAMPLE} does not exist"
    assert Unknown("where machines will start", reason) in report.unknown
    assert report.exit_code == 0


TUTORIAL = {
    "AWS_BUCKET": "your-bucket-name",
    "DOCKERHUB_TAG": "user/distributed-something:sometag",
    "SOURCE_BUCKET": "bucket-name",
    "SSH_KEY_NAME": "your-key-file.pem",
    "SQS_DEAD_LETTER_QUEUE": "arn:aws:sqs:some-region:111111100000:DeadMessages",
}


def test_all_placeholders_of_the_tutorials_config_are_reported_at_once(tmp_path: Path) -> None:
    root = make_implementation(tmp_path, settings=TUTORIAL)
    source = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}" / EXAMPLE
    (root / EXAMPLE).write_text(source.read_text())
    report = offline(root)
    assert {found.code for found in report.problems} == {"DS-PLACEHOLDER"}
    told = "\n".join(found.statement for found in report.problems)
    places = ("AWS_BUCKET", "DOCKERHUB_TAG", "SOURCE_BUCKET", "subnets", "security_groups")
    for name in places:
        assert f", {name}: still has the placeholder " in told
    # These two are no longer used, so nobody has to fill them in.
    for name in ("SSH_KEY_NAME", "SQS_DEAD_LETTER_QUEUE"):
        assert any(f"{name}: has no effect" in warning for warning in report.warnings)
    assert len(report.problems) == len(places)


def break_config(root: Path) -> None:
    with (root / "config.py").open("a") as config:
        config.write("\nJOB_TIMEOUT_MINUTES = 661\n\nMEMROY = 1\n")


def break_definition(root: Path) -> None:
    (root / "job.py").write_text("COMMAND = 'echo {nobody}'\nOUTPUT_PREFIX = 'x'\n")


def break_jobs(root: Path) -> None:
    write_jobs(root, [{"nmae": "a"}])


def break_fleet(root: Path) -> None:
    (root / EXAMPLE).write_text("{}")


@pytest.mark.parametrize(
    ("breaks", "code", "said"),
    [
        (break_config, "DS-CONFIG", "JOB_TIMEOUT_MINUTES: is 661"),
        (break_config, "DS-CONFIG", "MEMROY: unknown setting"),
        (break_definition, "DS-CONFIG", "nobody"),
        (break_jobs, "DS-JOBS", "exampleJob.json, group 1, nmae: "),
        (break_fleet, "DS-FLEET", "subnets: has no value"),
    ],
)
def test_a_file_that_is_not_valid_is_reported_with_exit_code_2(
    tmp_path: Path, breaks: Callable[[Path], None], code: str, said: str
) -> None:
    root = make_implementation(tmp_path, settings=GOOD)
    assert offline(root).exit_code == 0
    breaks(root)
    report = offline(root)
    assert report.exit_code == 2
    assert code in {found.code for found in report.problems}
    assert any(said in found.statement for found in report.problems)


def test_problems_of_several_files_are_reported_together(tmp_path: Path) -> None:
    root = make_implementation(tmp_path, settings={"AWS_BUCKET": "your-bucket-name", **GOOD})
    break_fleet(root)
    break_jobs(root)
    codes = {found.code for found in offline(root).problems}
    assert codes == {"DS-FLEET", "DS-JOBS", "DS-PLACEHOLDER"}


def test_a_fleet_file_given_by_name_must_exist(tmp_path: Path) -> None:
    root = make_implementation(tmp_path, settings=GOOD)
    (found,) = offline(root, fleet=tmp_path / "none.json").problems
    assert found.code == "DS-FLEET"
    assert "does not exist" in found.message


def test_answers_and_files_are_compared(tmp_path: Path) -> None:
    root = make_implementation(tmp_path, settings=GOOD)
    state = {"context": {"cookiecutter": {"docker_base_image": "debian:12"}}}
    (root / ".cruft.json").write_text(json.dumps(state))
    (root / "Dockerfile").write_text("FROM debian:13\n")
    assert [found.code for found in offline(root).problems] == ["DS-ANSWERS"]
    (root / "Dockerfile").write_text("FROM tool:1 AS tool\nFROM debian:12\n")
    assert offline(root).problems == []
    (root / "Dockerfile").unlink()
    assert offline(root).problems == []
    (root / ".cruft.json").write_text("[")
    assert offline(root).problems == []
