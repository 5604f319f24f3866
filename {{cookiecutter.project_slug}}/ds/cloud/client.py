"""Access to AWS: one session for config.py, clients that retry, errors explained in one line."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidConfigError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from ds.cloud.errors import AwsError
from ds.jobs.links import docs_url
from ds.jobs.problems import Problem
from ds.jobs.settings import Settings

ATTEMPTS = 8
"""Maximum attempts per request; the environment variable AWS_MAX_ATTEMPTS overrides it."""

CONNECTIONS = 32

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_WRONG_KEYS = {
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_WRONG_CLOCK = ("Signature expired", "Signature not yet current")
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "UnauthorizedOperation",
    "UnauthorizedException",
}


def session(profile: str = "default") -> botocore.session.Session:
    """Return botocore's session of a profile; the environment variable AWS_PROFILE is ignored.

    "default" means what boto3 finds by itself: keys in the environment, the default profile, or the
    role of the machine. boto3's own session takes longer to load, and its clients are the same.

    Raises:
        ProfileNotFound: the profile does not exist.
    """
    return botocore.session.Session(
        session_vars={"profile": (None, [], None, None)},
        profile=None if profile in ("", "default") else profile,
    )


class Aws:
    """The AWS account and region that config.py selects."""

    def __init__(self, settings: Settings) -> None:
        """Find the profile, as `session` does; no request is sent yet."""
        self.region = settings.AWS_REGION
        self.profile = settings.AWS_PROFILE
        self._session = session(self.profile)
        # The requests that get credentials use this region, too.
        self._session.set_config_variable("region", self.region)
        self._clients: dict[str, Any] = {}

    def client(self, service: str, region: str = "") -> Any:
        """Return a client of a service, in AWS_REGION unless another region is given.

        botocore's adaptive mode handles throttling.
        """
        key = f"{service} {region}"
        if key not in self._clients:
            if not self._clients:
                self._find_credentials()
            retries: dict[str, Any] = {"mode": "adaptive"}
            if "AWS_MAX_ATTEMPTS" not in os.environ:
                retries["total_max_attempts"] = ATTEMPTS
            config = Config(
                retries=retries,  # type: ignore[arg-type]
                max_pool_connections=CONNECTIONS,
                connect_timeout=10,
                read_timeout=60,
            )
            self._clients[key] = self._session.create_client(
                service, region_name=region or self.region, config=config
            )
        return self._clients[key]

    def _find_credentials(self) -> None:
        """Get credentials before the first request, to turn every failure into a botocore error.

        botocore itself passes on whatever a failing credential_process raises.
        """
        try:
            if "mfa_serial" in self._session.get_scoped_config() and not _at_a_terminal():
                raise ValueError("it needs an MFA code, which can be entered only at a terminal")
            credentials = self._session.get_credentials()
            if credentials is not None:
                credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError):
            raise
        except json.JSONDecodeError as error:
            message = "the output of its credential_process is not valid JSON"
            raise CredentialRetrievalError(provider="profile", error_msg=message) from error
        except (EOFError, OSError, ValueError) as error:
            raise CredentialRetrievalError(provider="profile", error_msg=str(error)) from error

    @functools.cached_property
    def caller(self) -> str:
        """The caller's ARN."""
        return str(self.client("sts").get_caller_identity()["Arn"])

    @property
    def account(self) -> str:
        """The account's id."""
        return self.caller.split(":")[4]

    @property
    def partition(self) -> str:
        """The account's partition: "aws", or another one in China and government regions."""
        return self.caller.split(":")[1]

    def queue_url(self, name: str) -> str:
        """Return the URL that a queue has or will have ("Queue and message identifiers")."""
        return f"{self.client('sqs').meta.endpoint_url}/{self.account}/{name}"


def _at_a_terminal() -> bool:
    """Return whether botocore can ask for a code: it opens the terminal, not standard input."""
    try:
        Path("/dev/tty").open().close()
    except OSError:
        return False
    return True


def code_of(error: ClientError) -> str:
    """Return the code of an error, such as "AccessDenied", without the prefix of some SQS codes."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def message_of(error: ClientError) -> str:
    """Return AWS's own description of an error, on one line."""
    return " ".join(str(error.response.get("Error", {}).get("Message", "")).split())


def explain(error: BotoCoreError | ClientError, profile: str = "default") -> Problem:
    """Return what is wrong and what to do; `profile` is AWS_PROFILE of config.py."""
    if isinstance(error, ClientError):
        return _explain_refusal(error, profile)
    text = " ".join(str(error).split()).rstrip(".")
    # "Error when retrieving credentials from custom-process: why"
    why = text.partition(": ")[2] if text.startswith("Error when retrieving") else text
    failed = f"The credentials of profile {profile} cannot be retrieved: {why}"
    match error:
        case ProfileNotFound():
            message = text
            hint = "set AWS_PROFILE in config.py to one of `aws configure list-profiles`"
        case NoCredentialsError() | PartialCredentialsError():
            message = f"Profile {profile} has no complete credentials: {text}"
            hint = "run aws configure or aws configure sso, or set AWS_PROFILE in config.py"
        case InvalidConfigError() | ConfigParseError():
            message, hint = text, f"correct profile {profile} in ~/.aws/config"
        case SSOError() | TokenRetrievalError():
            message, hint = failed, _log_in(profile)
        case CredentialRetrievalError():
            message, hint = failed, "check what the profile in ~/.aws/config refers to"
        case ConnectionError() | HTTPClientError():
            message = f"AWS cannot be reached: {text}"
            hint = "check the network and AWS_REGION, then run the same command again"
        case _:
            message, hint = f"The request to AWS failed: {text}", _AGAIN
    return Problem("", message, hint)


_AGAIN = "fix that, then run the same command again"


def _log_in(profile: str) -> str:
    return f"log in again (aws sso login --profile {profile})"


def _explain_refusal(error: ClientError, profile: str) -> Problem:
    code, text = code_of(error), message_of(error)
    refused = f"AWS refused {error.operation_name}: {code or 'no reason given'}"
    message = f"{refused}: {text}".rstrip(": .")
    hint = _AGAIN
    if code in _EXPIRED:
        message = f"AWS refused {error.operation_name}: the credentials have expired"
        hint = f"{_log_in(profile)}, or renew the keys"
    elif code == "RequestTimeTooSkewed" or text.startswith(_WRONG_CLOCK):
        hint = "set the clock of this machine: it differs from AWS's clock by several minutes"
    elif code in _WRONG_KEYS:
        # Omit AWS's text: it may quote the request, which contains the session token.
        message = f"{refused}: the keys of profile {profile} are not valid"
        hint = f"{_log_in(profile)}, or renew the keys"
    elif code in _DENIED and error.operation_name == "AssumeRole":
        message = f"{message}: profile {profile} cannot assume its role"
        hint = (
            "check role_arn and source_profile in ~/.aws/config, and the role's trust policy "
            "(sts:AssumeRole)"
        )
    elif code in _DENIED:
        hint = f"run setup_AWS.py and use its role, which has the permission ({docs_url('roles')})"
    return Problem("", message, hint)


@contextlib.contextmanager
def reporting_errors(profile: str) -> Iterator[None]:
    """Turn botocore's errors into AwsError with a one-line message."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise AwsError(str(explain(error, profile))) from error
