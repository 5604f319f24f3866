"""Write docs/settings.md and docs/roles.md from the engine: `make reference` runs this."""

import sys
from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}"))

from ds.cloud.rights import (  # noqa: E402
    CONTROL_ROLE,
    HAS_APP_TAG,
    RIGHTS,
    ROLES,
    SETS_APP_TAG,
)
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
has `$TOKEN`. Do not write AWS access keys anywhere: you have the permissions of `AWS_PROFILE`, and
jobs have those of their role.

Subnets, security groups and the key pair are in
[`files/exampleFleet.json`](findings.md#the-fleet-file).

| setting | type | range | default | unit | meaning |
|---|---|---|---|---|---|
"""

OLDER = """
## A config.py of Distributed-Something and its descendants

It is read unchanged: `'True'` and `'False'` as text, `MACHINE_TYPE` as text, numbers as text, a
price of 0 or `''` as None. These settings have no effect here; `check` and every other command warn
about each one:

| setting | why |
|---|---|
"""

PROGRAMS = """
These were settings of single implementations. They are passed to your program, with a warning:

| setting | in DS |
|---|---|
"""

KINDS: dict[object, str] = {int: "whole number", float: "number", bool: "yes or no", str: "text"}
KINDS |= {Sequence[str]: "list of text values", float | None: "number or None"}


def page() -> str:
    """Return docs/settings.md."""
    rows = [
        f"| `{name}` | {kind(name)} | {limits(name)} | {default(name)} | {unit(name)} | "
        f"{SETTINGS[name].metadata['doc']} |\n"
        for name in SETTINGS
    ]
    needless = [f"| `{name}` | {why} |\n" for name, why in NEEDLESS.items()]
    programs = [f"| `{name}` | {instead} |\n" for name, instead in INSTEAD.items()]
    return "".join([HEAD, *rows, OLDER, *needless, PROGRAMS, *programs])


def kind(name: str) -> str:
    """Return the type of a setting in plain words."""
    return KINDS.get(SETTINGS[name].type, "dict")


def limits(name: str) -> str:
    """Describe the values that a setting can have."""
    if "pattern" in limits_of(name) or kind(name) in ("dict", "list of text values"):
        return allowed(name).replace("|", "\\|")
    return range_of(name).removeprefix("from ").removeprefix("of ")


def default(name: str) -> str:
    """Return the default of a setting as Python code."""
    item = SETTINGS[name]
    if item.default is not MISSING:
        return f"`{item.default!r}`"
    return "must be set" if item.default_factory is MISSING else f"`{item.default_factory()!r}`"


def unit(name: str) -> str:
    """Return the unit of a setting; most settings have none."""
    return str(SETTINGS[name].metadata["unit"])


ROLES_HEAD = """\
# Roles and permissions

<!-- Written by `make reference` from ds/cloud/rights.py: edit that. -->

`python setup_AWS.py` creates the roles below, once per AWS account. Somebody who can create
roles must run it. `--dry-run` prints every document and changes nothing; `--remove` deletes the
roles. Each role has the tag `ds:made-by=setup_AWS.py`; a role of the same name without this tag is
never changed.

Run it again after a change of `AWS_BUCKET` or `SECRETS` in config.py: it adds the policy
`bucket-NAME` for the new bucket and keeps those of other buckets, because several implementations
share the roles. It also creates ECS's service-linked role (`AWSServiceRoleForECS`) if the account
does not have it, and never deletes it.

In the tables, `{aws}`, `{account}` and `{bucket}` are the partition (usually `aws`), the account id
and `AWS_BUCKET`. The condition *has tag* means that the resource must have the tag `ds:app`, and
*sets tag* that the request must set it. A person who can tag any queue or log group of the
account can thereby extend the other permissions to it: AWS has no condition that allows tagging
only while such a resource is created.

Secrets: for each ARN in `SECRETS`, the policy `secrets-APP_NAME` allows the role `ds-execution`
`secretsmanager:GetSecretValue` or `ssm:GetParameters` on it. A secret that is encrypted with a KMS
key of yours also needs `kms:Decrypt` on that key, which you must grant.

Other buckets: inputs outside `AWS_BUCKET` (`s3://other/key`) need `s3:GetObject` and
`s3:ListBucket` on that bucket for `ds-task`. Run `setup_AWS.py --bucket other`, which grants the
same permissions as on `AWS_BUCKET`, or write a narrower policy.
"""


def roles_page() -> str:
    """Return docs/roles.md."""
    conditions = {str(HAS_APP_TAG): "has tag", str(SETS_APP_TAG): "sets tag"}
    parts = [ROLES_HEAD]
    for role, purpose in ROLES.items():
        who = "ECS tasks of this account (`aws:SourceAccount`)"
        if role == CONTROL_ROLE:
            who = "everybody in the account who has `sts:AssumeRole`"
        parts.append(f"\n## {role}\n\n{purpose[0].upper()}{purpose[1:]}.\n")
        parts.append(f"\nWho can assume it: {who}.\n")
        parts.append("\n| action | resource | condition | why |\n|---|---|---|---|\n")
        for right in RIGHTS[role]:
            actions = ", ".join(f"`{action}`" for action in right.actions.split())
            condition = conditions.get(str(right.condition)) or ", ".join(
                f"`{key}` = `{value}`"
                for test in right.condition.values()
                for key, value in test.items()
            )
            why = f"{right.why} (`*`: {right.star})" if right.star else right.why
            parts.append(f"| {actions} | `{right.resource}` | {condition} | {why} |\n")
    return "".join(parts)


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(page(), encoding="utf-8")
    (DOCS / "roles.md").write_text(roles_page(), encoding="utf-8")
