"""An emulated account for one test: an implementation whose commands run as processes."""

import base64
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds.cloud.client import Aws
from ds.cloud.rights import RoleTarget, policies
from ds.control import cli
from ds.control.commands.setup_aws import setup_aws
from ds.control.files.config_file import check_config, execute_config
from ds.jobs.settings import Settings
from tests.emulator.aws.client import Control
from tests.implementation import make_implementation

IMAGE = "lab/test:1.0"
SETTINGS = {"DOCKERHUB_TAG": IMAGE}
NO_RETRIES = {"AWS_MAX_ATTEMPTS": "1"}
NUMBER = "123456789012"
WHERE = RoleTarget("aws", NUMBER, "test-bucket", "Test")


@dataclass(frozen=True)
class Ended:
    """A command that has ended; `code` is negative for a signal."""

    code: int
    output: str


@dataclass
class Account:
    """An account, and an implementation whose commands talk to it."""

    control: Control
    root: Path

    def run(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        without: Iterable[str] = (),
        setup_aws: bool = False,
        meanwhile: Callable[[int], None] | None = None,
    ) -> Ended:
        """Run a command in a forked process, because a new Python would take most of the time.

        Args:
            words: the command.
            env: variables in addition to those of the emulator.
            without: variables to omit.
            setup_aws: run setup_AWS.py, not run.py.
            meanwhile: called with the process's id while the command runs.
        """
        given = {**self.control.environment, **(env or {})}
        given = {name: text for name, text in given.items() if name not in without}
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if not child:
                _be_the_command(output.fileno(), self.root, words, given, setup_aws)
            if meanwhile:
                meanwhile(child)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            return Ended(os.waitstatus_to_exitcode(status), output.read())

    def wait_for_calls(self, operation: str, count: int = 1) -> None:
        """Wait until an operation has been called this often, refused or not."""
        until(lambda: len(self.control.calls(operation)) >= count, 60)

    def ok(self, *words: str, setup_aws: bool = False) -> str:
        """Run a command that must succeed, and return its output."""
        ended = self.run(*words, setup_aws=setup_aws)
        assert ended.code == 0, ended.output
        return ended.output

    def client(self, service: str) -> Any:
        return self.control.client(service)

    def configure(self, **settings: object) -> None:
        """Write config.py again with these settings."""
        values = {"APP_NAME": "Test", "AWS_BUCKET": "test-bucket", **SETTINGS, **settings}
        text = "\n\n".join(f"{name} = {value!r}" for name, value in values.items())
        (self.root / "config.py").write_text(f"{text}\n", encoding="utf-8")

    @property
    def settings(self) -> Settings:
        return check_config(*execute_config(self.root / "config.py"))


def _be_the_command(
    output: int, root: Path, words: tuple[str, ...], env: Mapping[str, str], setup_aws: bool
) -> None:
    """Run the command in the child process; never return."""
    code = 70
    try:
        os.chdir(root)
        os.setsid()  # no prompt reaches the terminal of the tests
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(env)
        code = cli.run(root, words, "setup_AWS.py" if setup_aws else "run.py")
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def make_account(control: Control, tmp_path: Path, **options: Any) -> Account:
    """Create an empty account with an implementation and its bucket."""
    control.reset()
    options["settings"] = {**SETTINGS, **options.get("settings", {})}
    account = Account(control, make_implementation(tmp_path, **options))
    account.client("s3").create_bucket(Bucket="test-bucket")
    return account


def make_roles(account: Account) -> None:
    """Create the roles with the code of setup_AWS.py."""
    before = dict(os.environ)
    os.environ.update(account.control.environment)
    try:
        setup_aws(Aws(account.settings), WHERE, lambda _: None)
    finally:
        os.environ.clear()
        os.environ.update(before)


def is_scoped(action: str) -> bool:
    """Return whether the emulator checks the resource of an action."""
    by_name = action in ("sqs:CreateQueue", "sqs:GetQueueUrl")
    return action.startswith(("sqs:", "s3:", "iam:PassRole")) and not by_name


def enforceable(role: str, without: str = "") -> dict[str, str]:
    """Return the policies of a role, without one action, as far as the emulator enforces them.

    It ignores conditions, and checks resources only of existing queues, S3 and PassRole. The others
    are omitted here, and tests/unit/test_rights.py checks them.
    """
    found = {}
    for name, document in policies(WHERE)[role].items():
        statements = [
            {
                "Effect": "Allow",
                "Action": action,
                "Resource": statement["Resource"] if is_scoped(action) else "*",
            }
            for statement in document["Statement"]
            for action in statement["Action"]
            if action != without
        ]
        found[name] = json.dumps({**document, "Statement": statements})
    return found


def allow(account: Account, role: str, without: str = "") -> dict[str, str]:
    """Return credentials of a role with all of its rights, except one."""
    iam = account.client("iam")
    for name, document in enforceable(role, without).items():
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
    return account.control.role(role)


def start_machines(control: Control, count: int, cluster: str = "Test") -> None:
    """Start machines of a cluster, as `startCluster` will."""
    iam, ec2 = control.client("iam"), control.client("ec2")
    iam.create_instance_profile(InstanceProfileName="p")
    name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    data = f"#!/bin/bash\ncat > /etc/ecs/ecs.config <<'END'\nECS_CLUSTER={cluster}\nEND\n"
    template = ec2.create_launch_template(
        LaunchTemplateName="machines",
        LaunchTemplateData={
            "ImageId": control.client("ssm").get_parameter(Name=name)["Parameter"]["Value"],
            "InstanceType": "m5.xlarge",
            "IamInstanceProfile": {"Name": "p"},
            "UserData": base64.b64encode(data.encode()).decode(),
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    ec2.create_fleet(
        LaunchTemplateConfigs=[
            {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"}}
        ],
        TargetCapacitySpecification={
            "TotalTargetCapacity": count,
            "DefaultTargetCapacityType": "on-demand",
        },
    )


def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until `done`, for at most this time."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not done after {seconds} s"
        time.sleep(0.5)
