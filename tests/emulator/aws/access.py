"""Principals, and what IAM allows them: moto's own enforcement, which tests turn on."""

import functools
from typing import Any

from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AuthFailureError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.access_control import CreateAccessKeyFailure, IAMRequest, create_access_key
from moto.iam.models import get_account_id_from, iam_backends
from moto.s3 import responses as s3
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import HTTPException

ADMIN = "emulator-admin"


def install() -> None:
    """Let S3 require the right that AWS requires (API reference, HeadBucket)."""
    rights: Any = s3.ACTION_MAP
    rights["BUCKET"]["HEAD"]["DEFAULT"] = "ListBucket"


def account_of(key: str) -> str:
    return str(get_account_id_from(key)) if _is_real(key) else DEFAULT_ACCOUNT_ID


def enforcing() -> bool:
    return bool(ActionAuthenticatorMixin.request_count >= settings.INITIAL_NO_AUTH_ACTION_COUNT)


def enforce(on: bool) -> None:
    """Turn the enforcement of IAM policies on or off."""
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0 if on else float("inf")
    ActionAuthenticatorMixin.request_count = 0


def principal(key: str, region: str, environ: dict[str, Any]) -> str:
    """Return the ARN of the key's user or assumed role, or the key itself if it has no owner."""
    if not _is_real(key):
        return key
    headers: Any = EnvironHeaders(environ)
    try:
        found = create_access_key(account_of(key), get_partition(region), key, headers)
    except (CreateAccessKeyFailure, KeyError):
        return key
    return str(found.arn)


def denied(
    action: str, resource: str, region: str, environ: dict[str, Any], body: bytes
) -> str | None:
    """Return why this request may not do `action` ("ecs:RunTask"); None if it may."""
    if not enforcing():
        return None
    service, _, name = action.partition(":")
    key = environ["HTTP_AUTHORIZATION"].partition("Credential=")[2].partition("/")[0]
    headers: Any = EnvironHeaders(environ)
    try:
        request = IAMRequest(
            account_id=account_of(key),
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", "/"),
            data={},
            body=body,
            headers=headers,
            action=name,
        )
        request.check_signature()
        request._action = f"{service}:{name}"
        request.check_action_permitted(resource)
    except AuthFailureError:
        return "the credentials are not valid"
    except HTTPException as error:
        return str(getattr(error, "message", error))
    return None


def role_credentials(role: str, region: str, account: str = DEFAULT_ACCOUNT_ID) -> dict[str, str]:
    """Return keys of a session of a role (name or ARN), without checking who can assume it."""
    partition = get_partition(region)
    arn = role if role.startswith("arn:") else f"arn:{partition}:iam::{account}:role/{role}"
    session = sts_backends[account][partition].assume_role(
        region_name=region,
        role_session_name="session",
        role_arn=arn,
        policy="",
        duration=3600,
        external_id="",
    )
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


def user_credentials(name: str, policy: str, account: str = DEFAULT_ACCOUNT_ID) -> dict[str, str]:
    """Return keys of a user with this policy; create the user if it does not exist."""
    backend = iam_backends[account]["aws"]
    if name not in backend.users:
        backend.create_user("us-east-1", name)
        backend.create_access_key(name)
    backend.put_user_policy(name, "given", policy)
    (key,) = backend.list_access_keys(name)
    return {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }


def issued() -> list[dict[str, str]]:
    """Return the keys of all users and sessions."""
    keys = [
        (key.access_key_id, key.secret_access_key, "")
        for backends in iam_backends.values()
        for backend in backends.values()
        for user in backend.users.values()
        for key in user.access_keys
    ]
    keys += [
        (role.access_key_id, role.secret_access_key, role.session_token)
        for backends in sts_backends.values()
        for backend in backends.values()
        for role in backend.assumed_roles
    ]
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return [dict(zip(names, given, strict=True)) for given in keys]


@functools.cache
def everything() -> str:
    """Return a policy that allows everything."""
    return (
        '{"Version": "2012-10-17", "Statement": '
        '[{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    )


def _is_real(key: str) -> bool:
    return len(key) == 20 and key.isalnum() and key.isupper()
