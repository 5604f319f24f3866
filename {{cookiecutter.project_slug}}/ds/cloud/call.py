"""The calls of a command to AWS: a list, planned by a pure function and sent by `carry_out`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from ds.cloud.client import code_of, message_of
from ds.cloud.errors import CommandError, Interrupted

RETRY_SECONDS = 2
REPORT_SECONDS = 10
"""Time between two reports of the same wait."""


@dataclass(frozen=True)
class Call:
    """One request to AWS.

    Attributes:
        message: what the call does, such as "create queue X".
        service, operation, parameters: as boto3 names them.
        done_already: part of the code or text of the error that means success, because the response
            to the first request was lost and botocore sent the request again.
        wait_while: temporary errors: part of the code or text of each, and what to report while
            waiting.
        patience: longest wait, in seconds.
        details: additional lines that a dry run shows.
    """

    message: str
    service: str
    operation: str
    parameters: Mapping[str, Any]
    done_already: str = ""
    wait_while: Mapping[str, str] = field(default_factory=dict)
    patience: float = 120
    details: str = ""


def carry_out(
    client: Callable[[str], Any],
    calls: Sequence[Call],
    report: Callable[[str], None],
    *,
    dry_run: bool = False,
    reassurance: str = "",
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send the calls in order, and report each one before it is sent; a dry run only reports them.

    Args:
        client: returns the client of a service.
        calls: the plan.
        report: receives one line at a time.
        dry_run: send nothing.
        reassurance: text about the incomplete plan that is added after an interruption.
        sleep, clock: in seconds.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        CommandError: a temporary error lasted longer than the call's patience.
        ClientError: AWS refused a call.
    """
    completed = 0
    try:
        for call in calls:
            if dry_run:
                report(f"would {call.message}")
                if call.details:
                    report(call.details)
            else:
                report(call.message)
                _send(client(call.service), call, report, sleep, clock)
                completed += 1
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted after {completed} of {len(calls)} steps (the last one shown may have "
            f"completed). {reassurance}Run the same command again to complete it."
        ) from None


def _send(
    client: Any,
    call: Call,
    report: Callable[[str], None],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    """Send one call; repeat it while AWS refuses it for a temporary reason."""
    began = clock()
    next_report = 0.0
    while True:
        try:
            getattr(client, call.operation)(**call.parameters)
            return
        except ClientError as error:
            refusal = f"{code_of(error)} {message_of(error)}".lower()
            if call.done_already and call.done_already.lower() in refusal:
                return
            reasons = [why for sign, why in call.wait_while.items() if sign.lower() in refusal]
            if not reasons:
                raise
        waited = clock() - began
        if waited > call.patience:
            raise CommandError(
                f"Waited {waited:.0f} s: {reasons[0]}; run the same command again later"
            )
        if waited >= next_report:
            next_report = waited + REPORT_SECONDS
            report(f"  waiting, {waited:.0f} s: {reasons[0]}")
        sleep(RETRY_SECONDS)
