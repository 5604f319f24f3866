"""One request to AWS: its service, operation, parameters and principal."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from botocore.model import OperationNotFoundError
from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import CombinedMultiDict, EnvironHeaders, MultiDict
from werkzeug.exceptions import NotFound

from tests.emulator.aws.access import account_of

NAMES = {
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}
"""Services whose requests are signed with a different name than that of their model."""

_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_RPC = re.compile(r"/service/\w+/operation/(\w+)")


class Refused(ServiceException):
    """The error response of AWS: a code and a message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message)
        self.status = status


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        service: its name in boto3 ("ecs").
        operation: its name in the API ("CreateCluster").
        parameters: as the client sent them; for S3 only those in the path.
        key: access key.
        body: bytes as sent; empty for S3, whose bodies are not read here.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    key: str
    region: str
    account: str
    protocol: str
    body: bytes
    environ: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.service}:{self.operation}"


def read(environ: dict[str, Any]) -> Call | None:
    """Return the call in a request; None if the request is not a signed call."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not scope:
        return None
    key, region, signed = scope.groups()
    service = NAMES.get(signed, signed)
    body = b"" if service == "s3" else _body(environ)
    protocol, operation, parameters = _operation(service, environ, body)
    return Call(
        service, operation, parameters, key, region, account_of(key), protocol, body, environ
    )


def refusal(call: Call, error: Refused) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of an error in the format of the service."""
    if call.protocol == "json":
        code = error.code.rpartition(".")[2]
        shape = {"NonExistentQueue": "QueueDoesNotExist", "QueueAlreadyExists": "QueueNameExists"}
        name = shape.get(code, code)
        headers = [("Content-Type", "application/x-amz-json-1.0")]
        if call.service in ("sqs", "cloudwatch"):  # the code in the older protocol
            headers.append(("x-amzn-query-error", f"{error.code};Sender"))
        text = {"__type": f"com.amazonaws.{call.service}#{name}", "message": error.message}
        return error.status, headers, json.dumps(text).encode()
    model = get_service_model(call.service)
    try:
        operation = model.operation_model(call.operation)
    except OperationNotFoundError:
        operation = OperationModel({}, model)
    answer = get_serializer_class(call.service, call.protocol)(operation).serialize(error)
    content = answer["body"]
    return (
        error.status,
        [(str(k), str(v)) for k, v in answer["headers"].items()],
        content.encode() if isinstance(content, str) else content,
    )


def _body(environ: dict[str, Any]) -> bytes:
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        body = environ["wsgi.input"].read()
        environ.pop("HTTP_TRANSFER_ENCODING")
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body)


def _operation(
    service: str, environ: dict[str, Any], body: bytes
) -> tuple[str, str, Mapping[str, Any]]:
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return "json", target.rpartition(".")[2], json.loads(body or b"{}")
    if found := _RPC.search(environ.get("PATH_INFO", "")):
        return "smithy-rpc-v2-cbor", found[1], {}
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        protocol = "ec2" if service == "ec2" else "query"
        return protocol, form.get("Action", ""), _parsed(service, protocol, form, environ)
    try:
        operation, parameters = get_service_router(service).match(Request(environ.copy()))
    except (NotFound, NotImplementedError, LookupError):
        return "rest-xml", f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", {}
    protocol = str(get_service_model(service).protocol)
    if protocol == "rest-json" and body:
        parameters = {**parameters, **json.loads(body)}
    return protocol, operation.name, parameters


def _parsed(
    service: str, protocol: str, form: Mapping[str, str], environ: dict[str, Any]
) -> Mapping[str, Any]:
    try:
        model = get_service_model(service).operation_model(form["Action"])
    except (KeyError, OperationNotFoundError):
        return form
    parsed: Mapping[str, Any] = PROTOCOL_PARSERS[protocol](model, map_type=dict).parse(
        {
            "method": "POST",
            "values": CombinedMultiDict([MultiDict(form)]),
            "headers": EnvironHeaders(environ),
            "body": b"",
            "url_path": "/",
            "url_params": {},
        }
    )
    return parsed
