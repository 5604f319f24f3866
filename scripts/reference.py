"""Write docs/settings.md and docs/roles.md from the engine: `make reference` runs this."""

import sys
from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}"))

from ds.cloud import rights  # noqa: E402
from ds.control.files.config_file import allowed, range_of  # noqa: E402
from ds.jobs.settings import INSTEAD, NEEDLESS, SETTINGS, limits_of  # noqa: E402

HEAD = """# Settings

<!-- Written by `make reference` from ds/jobs/settings.py: edit that. -->

`config.py` is yours. It has the settings of a run that come from your answers; all others have the
default below. The whole file is checked before a command does anything, and every problem is
reported with its line. A name that differs from a setting in one or two letters is refused as a
typo.

**Other upper-case names are settings of your program**: `MODEL = "cyto3"` is `{MODEL}` in the
command and `$MODEL` in its environment, without a second edit. A name or value that looks like a
secret is refused, because a secret must not be stored in a file. Store it in Secrets Manager or in
SSM Parameter Store and write `SECRETS = {"TOKEN": "arn:aws:secretsmanager:..."}`; the program then
has `$TOKEN`. Do not write AWS access keys anywhere: you have the rights of `AWS_PROFILE`, and jobs
have those of their role.

Subnets, security groups and the key pair are in
[`files/exampleFleet.json`](findings.md#the-fleet-file).

| setting | type | range | default | unit | meaning |
|---|---|---|---|---|---|
"""

OLDER = """
## A config.py of Distributed-Something and its descendants

It is read unchanged: `'True'` and `'False'` as text, `MACHINE_TYPE` as one text, numbers as text, a
price of 0 or `''` as None. These settings have no effect here; `check` and every other command warn
of each one:

| setting | why |
|---|---|
"""

PROGRAMS = """
These were settings of single implementations. They are passed to your program, with a warning:

| setting | in DS |
|---|---|
"""

KINDS: dict[object, str] = {int: "whole number", float: "number", bool: "yes or no", str: "text"}
KINDS |= {Sequence[str]: "list of texts", float | None: "number or None"}


def page() -> str:
    """Write the whole page."""
    rows = [
        f"| `{name}` | {kind(name)} | {limits(name)} | {default(name)} | {unit(name)} | "
        f"{SETTINGS[name].metadata['doc']} |\n"
        for name in SETTINGS
    ]
    needless = [f"| `{name}` | {why} |\n" for name, why in NEEDLESS.items()]
    programs = [f"| `{name}` | {instead} |\n" for name, instead in INSTEAD.items()]
    return "".join([HEAD, *rows, OLDER, *needless, PROGRAMS, *programs])


def kind(name: str) -> str:
    """Name the type of a setting in a person's words."""
    return KINDS.get(SETTINGS[name].type, "dict")


def limits(name: str) -> str:
    """Describe the values that a setting can have."""
    if "pattern" in limits_of(name) or kind(name) in ("dict", "list of texts"):
        return allowed(name).replace("|", "\\|")
    return range_of(name).removeprefix("from ").removeprefix("of ")


def default(name: str) -> str:
    """Write the default of a setting as Python."""
    item = SETTINGS[name]
    if item.default is not MISSING:
        return f"`{item.default!r}`"
    return "must be set" if item.default_factory is MISSING else f"`{item.default_factory()!r}`"


def unit(name: str) -> str:
    """Return the unit of a setting; most have none."""
    return str(SETTINGS[name].metadata["unit"])


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(page(), encoding="utf-8")
    (DOCS / "roles.md").write_text(rights.page(), encoding="utf-8")
