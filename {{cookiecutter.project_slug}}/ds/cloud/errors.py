"""Errors that end a command. Their text is `what is wrong; what to do`; each has an exit code.

Exit codes: 0 success, 1 some jobs are dead or `check` has findings, 2 bad input or nothing could
be started, 3 AWS refused a request or cannot be reached, 130 interrupted.
"""


class CommandError(Exception):
    """A command cannot continue."""

    exit_code = 2


class AwsError(CommandError):
    """AWS refused a request, or cannot be reached."""

    exit_code = 3


class Interrupted(CommandError):
    """The user pressed Ctrl-C. The text reports what was completed and how to continue."""

    exit_code = 130
