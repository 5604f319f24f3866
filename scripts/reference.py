"""Write docs/settings.md and docs/roles.md from the engine's tables: `make reference` runs this."""

import sys
from dataclasses import MISSING
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}"))

from ds.cloud.rights import (  # noqa: E402
    CONTROL_ROLE,
    EVERY,
    HAS_APP_TAG,
    ROLES,
    SETS_APP_TAG,
)
from ds.control.files.config_file import NEEDLESS, OTHERWISE, SETTINGS, wanted  # noqa: E402

HEAD = """# Settings

<!-- Written by `make reference` from control/settings.py: edit that. -->

`config.py` is yours. It holds the settings of a run that your answers made; those that it leaves
out have the default below. The whole file is checked before anything is done, and every problem is
named with its line. A name within two letters of a setting is taken for a slip and refused.

**Other upper-case names are settings of your program**: `MODEL = "cyto3"` is `{MODEL}` in the
command and `$MODEL` in its environment, with no second edit. A name or value that looks like a
secret is refused, because no secret belongs into a file: put it into Secrets Manager or SSM's
Parameter Store and write `SECRETS = {"TOKEN": "arn:aws:secretsmanager:..."}`; the program then has
`$TOKEN`. Keys of AWS belong nowhere: you have the rights of `AWS_PROFILE`, jobs those of their
role.

Subnets, security groups and the like are in
[`files/exampleFleet.json`](findings.md#the-fleet-file).

| setting | type | range | default | unit | meaning |
|---|---|---|---|---|---|
"""

OLDER = """
## A config.py of Distributed-Something and its descendants

is read as it is: `'True'` and `'False'` as texts, `MACHINE_TYPE` as one text, numbers as texts, a
price of 0 or `''` as none. These settings mean nothing here; each is said to be needless and why:

| setting | why |
|---|---|
"""

PROGRAMS = """
These were settings of single implementations. Here they are the program's own, and said so:

| setting | instead |
|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{name}` | {kind(name)} | {limits(name)} | {default(name)} | {unit(name)} | "
        f"{SETTINGS[name].metadata['doc']} |\n"
        for name in SETTINGS
    ]
    needless = [f"| `{name}` | {why} |\n" for name, why in NEEDLESS.items()]
    programs = [f"| `{name}` | {instead} |\n" for name, instead in OTHERWISE.items()]
    return "".join([HEAD, *rows, OLDER, *needless, PROGRAMS, *programs])


def kind(name: str) -> str:
    """A setting's type in a person's words."""
    types = {
        "int": "whole number",
        "float": "number",
        "bool": "yes or no",
        "str": "text",
        "Sequence[str]": "list of texts",
        "float | None": "number or None",
    }
    return types.get(str(SETTINGS[name].type), "dict")


def limits(name: str) -> str:
    """What values a setting can have."""
    given = SETTINGS[name].metadata["limits"]
    if "pattern" in given or kind(name) in ("dict", "list of texts"):
        return wanted(name).removeprefix("write ").replace("|", "\\|")
    if "gt" in given:
        least = f"more than {given['gt']}"
        return f"{least}, at most {given['le']:,}" if "le" in given else least
    if "ge" not in given:
        return ""
    least = f"{given['ge']:,}"
    return f"{least} to {given['le']:,}" if "le" in given else f"at least {least}"


def default(name: str) -> str:
    """A setting's default as Python."""
    item = SETTINGS[name]
    if item.default is not MISSING:
        return f"`{item.default!r}`"
    return "must be set" if item.default_factory is MISSING else f"`{item.default_factory()!r}`"


def unit(name: str) -> str:
    """A setting's unit; most have none."""
    return str(SETTINGS[name].metadata["unit"])


ROLES_HEAD = """\
# Roles and rights

<!-- Written by `make reference` from ds/cloud/rights.py: edit that. -->

`python setup_AWS.py` creates the roles below, once per AWS account. It must be run by somebody who
may create roles. `--dry-run` prints every document and changes nothing; `--remove` deletes the
roles. Each role has the tag `ds:made-by=setup_AWS.py`; a role of the same name without this tag is
never changed.

Run it again after a change of `AWS_BUCKET` or `SECRETS` in config.py: it adds the policy
`bucket-NAME` for the new bucket and keeps those of other buckets, because several implementations
share the roles. It also creates ECS's service-linked role (`AWSServiceRoleForECS`) if the account
does not have it, and never deletes it.

In the tables, `{aws}`, `{account}` and `{bucket}` are the partition (usually `aws`), the account id
and `AWS_BUCKET`. The condition *has tag* means that the resource must have the tag `ds:app`, and
*sets tag* that the request must set it. A person who may tag any queue or log group of the account
can thereby give the other rights access to it: AWS has no condition that allows tagging only while
such a resource is created.

Secrets: for each ARN in `SECRETS`, the policy `secrets-APP_NAME` allows the role `ds-execution`
`secretsmanager:GetSecretValue` or `ssm:GetParameters` on it. A secret that is encrypted with a KMS
key of yours also needs `kms:Decrypt` on that key, which you must grant.

Other buckets: inputs outside `AWS_BUCKET` (`s3://other/key`) need `s3:GetObject` and
`s3:ListBucket` on that bucket for `ds-task`. Run `setup_AWS.py --bucket other`, which grants the
same rights as on `AWS_BUCKET`, or write a narrower policy.
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
        parts.append(f"\nWho may assume it: {who}.\n")
        parts.append("\n| action | resource | condition | why |\n|---|---|---|---|\n")
        for right in EVERY:
            if right.role != role:
                continue
            actions = ", ".join(f"`{action}`" for action in right.actions)
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
