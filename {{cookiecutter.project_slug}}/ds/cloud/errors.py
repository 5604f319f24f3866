"""What ends a command early: one message for a person, and the exit code.

Exit codes: 0 all is well, 1 some jobs are dead or check has findings, 2 bad input or nothing could
be started, 3 AWS refused or could not be asked, 130 interrupted.
"""


class CommandError(Exception):
    """A command cannot go on; its text says what is wrong and what to do.

    Attributes:
        exit_code: of the process.
    """

    exit_code = 2


class AwsError(CommandError):
    """AWS refused, or could not be asked."""

    exit_code = 3


class Interrupted(CommandError):
    """Ctrl-C; its text says what exists and how to go on."""

    exit_code = 130
