"""`python run.py COMMAND` and `python setup_AWS.py`: start a command and set the exit code.

Exit codes: 0 success; 1 jobs are dead, or `check` found problems; 2 bad input, or nothing could be
started; 3 AWS refused a request, or could not be reached; 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from ds.cloud.errors import CommandError
from ds.jobs.problems import BadInput, did_you_mean

MODULES = {
    "show": "show",
    "local": "local",
    "image": "image",
    "shell": "shell",
    "push": "push",
    "check": "check",
    "setup": "setup",
    "submitJob": "submit_job",
}
"""The commands of run.py, in the order of `--help`, and their modules."""


class _Commands(click.Group):
    """A group that imports a command's module only when needed, because boto3 loads slowly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of MODULES."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        if cmd_name not in MODULES:
            near = did_you_mean(cmd_name, MODULES, "use --help for the list")
            raise click.UsageError(f"unknown command {cmd_name!r}; {near}", ctx)
        return _command(MODULES[cmd_name])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def run_py() -> None:
    """Run this implementation's command over many jobs."""


def _command(module: str) -> click.Command:
    command: click.Command = import_module(f"ds.control.commands.{module}").command
    return command


def main(root: Path, program: str) -> NoReturn:
    """Run the command line of this process, and exit."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        # A closed terminal interrupts like Ctrl-C, so a command can stop what it started.
        signal.signal(name, signal.default_int_handler)
    sys.exit(run(root, sys.argv[1:], program))


def run(root: Path, words: Sequence[str], program: str = "run.py") -> int:
    """Run a command line, print its errors, and return its exit code."""
    command = run_py if program == "run.py" else _command("setup_aws")
    try:
        code: int = command.main(
            list(words), prog_name=f"python {program}", obj=root, standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (BadInput, CommandError) as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted; nothing is left running.", err=True)
        return 130
    return code
