"""What moto does again and again, done once: without it each request takes 10 ms, a reset 5 s."""

import copy
import functools
import re
from typing import Any

from moto import backends
from moto.core import responses
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.ec2.models import amis
from moto.iam.models import IAMBackend

# moto's modules and classes, to be changed.
_backends: Any = backends
_responses: Any = responses
_amis: Any = amis
_iam: Any = IAMBackend
_in_use: Any = BackendDict._instances  # type: ignore[misc]


def install() -> None:
    """Let moto remember."""
    # Which services it has: it looks through its folder at each request.
    modules = tuple(_backends.list_of_moto_modules())
    _backends.list_of_moto_modules = lambda: modules
    # Which operations a service has: it goes through the class's members.
    names = functools.cache(_responses.method_names_from_class)
    _responses.method_names_from_class = names
    # The images of AWS, in each region and after each reset: thousands.
    _amis.load_resource = functools.cache(_newest)
    # AWS's own policies, likewise.
    _iam._init_aws_policies = _policies


def reset() -> None:
    """An empty account: moto first makes everything anew and then throws it away."""
    for service in list(_in_use):
        service.clear()
        # Of S3's: else a bucket of before is looked for for ever.
        getattr(service, "bucket_accounts", {}).clear()
    _in_use.clear()
    reset_model_data()


_load_images = _amis.load_resource


def _newest(path: str) -> list[dict[str, Any]]:
    """The images of a file: of all that differ in their date only, the last."""
    found: dict[str, dict[str, Any]] = {}
    for image in _load_images(path):
        family = re.sub(r"\d{6,}", "", image["name"])
        if family not in found or image["name"] > found[family]["name"]:
            found[family] = image
    return list(found.values())


_make_policies = _iam._init_aws_policies
_made: dict[tuple[str, str], list[Any]] = {}


def _policies(backend: Any) -> list[Any]:
    key = (backend.account_id, backend.region_name)
    if key not in _made:
        _made[key] = _make_policies(backend)
    return [copy.copy(policy) for policy in _made[key]]
