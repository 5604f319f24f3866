"""An emulated account for one test: an implementation, and its commands run as processes."""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control import cli, roles
from control.aws import Aws
from control.settings import Settings, load
from tests.emulator.aws.client import Control
from tests.implementation import make_implementation

IMAGE = "lab/test:1.0"
SETTINGS = {"DOCKERHUB_TAG": IMAGE}
NO_RETRIES = {"AWS_MAX_ATTEMPTS": "1"}
NUMBER = "123456789012"

MADE_UP_KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAMADEUPKEYOFATEST",
    "AWS_SECRET_ACCESS_KEY": "madeUpSecretOfATest0123456789abcdefghijk",
    "AWS_SESSION_TOKEN": "madeUpTokenOfATest0123456789",
}


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
        interrupt_at: str = "",
    ) -> Ended:
        """Run a command in a forked process: starting Python anew would take most of the time.

        Args:
            words: the command.
            env: variables beside those of the emulator.
            without: variables to leave out.
            setup_aws: run setup_AWS.py, not run.py.
            interrupt_at: an operation; SIGINT, as by Ctrl-C, once it has been called.
        """
        given = {**self.control.environment, **(env or {})}
        given = {name: text for name, text in given.items() if name not in without}
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if not child:
                _be_the_command(output.fileno(), self.root, words, given, setup_aws)
            if interrupt_at:
                while not self.control.calls(interrupt_at):
                    time.sleep(0.05)
                os.kill(child, signal.SIGINT)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            return Ended(os.waitstatus_to_exitcode(status), output.read())

    def ok(self, *words: str, setup_aws: bool = False) -> str:
        """Run a command that must succeed; what it says."""
        ended = self.run(*words, setup_aws=setup_aws)
        assert ended.code == 0, ended.output
        return ended.output

    def client(self, service: str) -> Any:
        return self.control.client(service)

    def configure(self, **settings: object) -> None:
        """Write config.py anew, with these changes."""
        values = {"APP_NAME": "Test", "AWS_BUCKET": "test-bucket", **SETTINGS, **settings}
        text = "\n\n".join(f"{name} = {value!r}" for name, value in values.items())
        (self.root / "config.py").write_text(f"{text}\n", encoding="utf-8")

    @property
    def settings(self) -> Settings:
        return load(self.root / "config.py")


def _be_the_command(
    output: int, root: Path, words: tuple[str, ...], env: Mapping[str, str], setup_aws: bool
) -> None:
    """The child: never returns."""
    code = 70
    try:
        os.chdir(root)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(env)
        command = cli.run_setup_aws if setup_aws else cli.run
        code = command(root, words)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def make_account(control: Control, tmp_path: Path, **options: Any) -> Account:
    """An empty account with an implementation, its bucket and its roles."""
    control.reset()
    options["settings"] = {**SETTINGS, **options.get("settings", {})}
    account = Account(control, make_implementation(tmp_path, **options))
    account.client("s3").create_bucket(Bucket="test-bucket")
    return account


def make_roles(account: Account) -> None:
    """The roles of setup_AWS.py, by its own code."""
    before = dict(os.environ)
    os.environ.update(account.control.environment)
    try:
        where = roles.Account("aws", NUMBER, "test-bucket", "Test")
        roles.setup_aws(Aws(account.settings), where, lambda _: None)
    finally:
        os.environ.clear()
        os.environ.update(before)
