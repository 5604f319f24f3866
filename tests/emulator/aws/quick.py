"""Caches for what moto computes repeatedly: 10 ms for each request, 5 s for each reset."""

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

# The modules and classes of moto to patch.
_backends: Any = backends
_responses: Any = responses
_amis: Any = amis
_iam: Any = IAMBackend
_in_use: Any = BackendDict._instances  # type: ignore[misc]


def install() -> None:
    """Install the caches."""
    # The services: moto lists its folder at each request.
    modules = tuple(_backends.list_of_moto_modules())
    _backends.list_of_moto_modules = lambda: modules
    # The operations of a service: moto inspects the class at each request.
    names = functools.cache(_responses.method_names_from_class)
    _responses.method_names_from_class = names
    # Thousands of machine images: moto loads them for each region after each reset.
    _amis.load_resource = functools.cache(_newest)
    # The policies that AWS manages, likewise.
    _iam._init_aws_policies = _policies


def reset() -> None:
    """Empty the account, without moto's reset, which creates everything again."""
    for service in list(_in_use):
        service.clear()
        # S3 would search for a deleted bucket forever.
        getattr(service, "bucket_accounts", {}).clear()
    _in_use.clear()
    reset_model_data()


_load_images = _amis.load_resource


def _newest(path: str) -> list[dict[str, Any]]:
    """Return the images of a file; of those that differ only in their date, the newest."""
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
