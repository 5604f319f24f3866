"""What AWS refuses and moto accepts: one table with the rows of four modules.

A row's `when` examines the call and the account, and returns the refusal's message or None. The
rows of an operation are checked in order, after IAM and before moto. `sqs` itself refuses messages,
because it reads them anyway; `MESSAGES` lists those refusals for the docs.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.utils import camelcase_to_underscores
from moto.ec2.responses import EC2Response
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.iam.responses import IamResponse
from moto.logs.responses import LogsResponse
from moto.sqs.models import sqs_backends
from moto.sqs.responses import SQSResponse

from tests.emulator.aws import refuse_ec2, refuse_ecs, refuse_iam, refuse_sqs
from tests.emulator.aws.call import Call, Refused
from tests.emulator.aws.refusal import Refusal
from tests.emulator.aws.refuse_sqs import MESSAGES
from tests.emulator.aws.state import STATE

__all__ = ["MESSAGES", "TABLE", "check", "install"]

TABLE: tuple[Refusal, ...] = (
    *refuse_sqs.ROWS,
    *refuse_ec2.ROWS,
    *refuse_ecs.ROWS,
    *refuse_iam.ROWS,
)

RESPONSES: Mapping[str, type] = {
    "sqs": SQSResponse,
    "ec2": EC2Response,
    "ecs": EC2ContainerServiceResponse,
    "iam": IamResponse,
    "logs": LogsResponse,
}


def check(call: Call) -> None:
    """Raise Refused if a row of the table refuses the call."""
    for row in TABLE:
        if call.name in row.operations and (message := row.when(call)):
            raise Refused(row.code, message, row.status)


def warnings(call: Call) -> list[dict[str, str]]:
    """Return AWS's warnings about a launch template that it accepts (ValidationWarning)."""
    return [
        {"Code": row.code, "Message": message}
        for row in TABLE
        if "ec2:RunInstances" in row.operations
        and row.what != "no image"
        and (message := row.when(call))
    ]


def install() -> None:
    """Check the table after IAM and before moto."""
    for name in {operation for row in TABLE for operation in row.operations}:
        service, _, operation = name.partition(":")
        method = camelcase_to_underscores(operation)
        kind = RESPONSES[service]
        setattr(kind, method, _guarded(getattr(kind, method)))
    for method in ("create_launch_template", "create_launch_template_version"):
        setattr(EC2Response, method, _warned(getattr(EC2Response, method)))
    queues: Any = SQSResponse
    queues.delete_queue = _remembered(queues.delete_queue)


def _guarded(do: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def guarded(response: Any) -> Any:
        check(response.normalized_request.environ["emulator.call"])
        return do(response)

    return guarded


def _warned(do: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def warned(response: Any) -> Any:
        found = warnings(response.normalized_request.environ["emulator.call"])
        result = do(response)
        if found:
            result.result["Warning"] = {"Errors": found}
        return result

    return warned


def _remembered(do: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Store the time of a queue's deletion (QueueDeletedRecently), and end its long polls."""

    def remembered(response: Any) -> Any:
        call = response.normalized_request.environ["emulator.call"]
        name = str(call.parameters.get("QueueUrl", "")).rpartition("/")[2]
        queues: Any = sqs_backends[call.account][call.region].queues
        queue = queues.get(name)
        result = do(response)
        STATE.deleted_queues[call.account, call.region, name] = time.time()
        if queue is not None:
            queue.line.gone = True
            with queue.line.changed:
                queue.line.changed.notify_all()
        return result

    return remembered
