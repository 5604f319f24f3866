"""Access to AWS: one session by config.py, clients that retry, errors explained in one line."""

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
from ds.jobs.settings import Settings

ATTEMPTS = 8
"""Of one request; the environment variable AWS_MAX_ATTEMPTS overrides it."""

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
    """Return botocore's session of a profile, whatever the environment variable AWS_PROFILE is.

    boto3's session takes longer to load, and its clients are the same.

    Raises:
        ProfileNotFound: the profile does not exist.
    """
    return botocore.session.Session(
        session_vars={"profile": (None, [], None, None)},
        profile=None if profile in ("", "default") else profile,
    )


class Aws:
    """The account and region of config.py."""

    def __init__(self, settings: Settings) -> None:
        """Find the profile; no request is sent yet.

        'default' is what boto3 finds by itself: keys in the environment, the default profile, or
        the role of the machine. The environment variable AWS_PROFILE is ignored.

        Raises:
            ProfileNotFound: the profile does not exist.
        """
        self.region = settings.AWS_REGION
        self.profile = settings.AWS_PROFILE
        self._session = session(self.profile)
        # For the requests that get credentials, too.
        self._session.set_config_variable("region", self.region)
        self._clients: dict[str, Any] = {}

    def client(self, service: str, region: str = "") -> Any:
        """Return a client of a service; botocore's adaptive mode handles throttling.

        Args:
            service: as boto3 names it.
            region: if not AWS_REGION.
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
        """Get credentials before the first request, to turn every failure into botocore's errors.

        botocore itself passes on whatever a failing credential_process raises.

        Raises:
            BotoCoreError, ClientError: there are no credentials.
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
        """The ARN of the caller."""
        return str(self.client("sts").get_caller_identity()["Arn"])

    @property
    def account(self) -> str:
        """The id of the account."""
        return self.caller.split(":")[4]

    @property
    def partition(self) -> str:
        """ "aws", or the partition of China or a government."""
        return self.caller.split(":")[1]

    def queue_url(self, name: str) -> str:
        """Return the URL that a queue has, or will have ("Queue and message identifiers")."""
        return f"{self.client('sqs').meta.endpoint_url}/{self.account}/{name}"


def _at_a_terminal() -> bool:
    """Whether botocore can ask for a code: it opens the terminal itself, not standard input."""
    try:
        Path("/dev/tty").open().close()
    except OSError:
        return False
    return True


def code_of(error: ClientError) -> str:
    """Return the code of an error, such as "AccessDenied"; SQS has some with a prefix."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def message_of(error: ClientError) -> str:
    """Return AWS's own description of an error, on one line."""
    return " ".join(str(error.response.get("Error", {}).get("Message", "")).split())


def explain(error: BotoCoreError | ClientError, profile: str = "default") -> str:
    """Explain an error to a person: what is wrong; what to do.

    Args:
        error: of botocore.
        profile: AWS_PROFILE of config.py.
    """
    if isinstance(error, ClientError):
        return _explain_refusal(error, profile)
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ProfileNotFound):
        return f"{text}; set AWS_PROFILE in config.py to one of `aws configure list-profiles`"
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return (
            f"Profile {profile} has no complete credentials: {text}; run aws configure or "
            "aws configure sso, or set AWS_PROFILE in config.py"
        )
    if isinstance(error, (InvalidConfigError, ConfigParseError)):
        return f"{text}; correct profile {profile} in ~/.aws/config"
    if text.startswith("Error when retrieving"):  # "... credentials from custom-process: why"
        text = text.partition(": ")[2]
    failed = f"The credentials of profile {profile} cannot be retrieved: {text}"
    if isinstance(error, (SSOError, TokenRetrievalError)):
        return f"{failed}; {_sso_login(profile)}"
    if isinstance(error, CredentialRetrievalError):
        return f"{failed}; check what the profile in ~/.aws/config refers to"
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return (
            f"AWS cannot be reached: {text}; check the network and AWS_REGION, then run the same "
            "command again"
        )
    return f"The request to AWS failed: {text}; {_AGAIN}"


_AGAIN = "fix that, then run the same command again"


def _sso_login(profile: str) -> str:
    return f"log in again (aws sso login --profile {profile})"


def _explain_refusal(error: ClientError, profile: str) -> str:
    code, message = code_of(error), message_of(error)
    refused = f"AWS refused {error.operation_name}: {code or 'no reason given'}"
    quoted = f"{refused}: {message}".rstrip(": .")
    login = f"{_sso_login(profile)}, or renew the keys"
    if code in _EXPIRED:
        return f"AWS refused {error.operation_name}: the credentials have expired; {login}"
    if code == "RequestTimeTooSkewed" or message.startswith(_WRONG_CLOCK):
        return f"{quoted}; set the clock of this computer: it differs from AWS's by minutes"
    if code in _WRONG_KEYS:
        # Without AWS's message: it may quote the request, and in it the session token.
        return f"{refused}: the keys of profile {profile} are not valid; {login}"
    if code in _DENIED and error.operation_name == "AssumeRole":
        return (
            f"{quoted}: profile {profile} cannot assume its role; check role_arn and "
            "source_profile in ~/.aws/config, and the role's trust policy (sts:AssumeRole)"
        )
    if code in _DENIED:
        return f"{quoted}; setup_AWS.py grants the right that is missing ({docs_url('roles')})"
    return f"{quoted}; {_AGAIN}"


@contextlib.contextmanager
def reporting_errors(profile: str) -> Iterator[None]:
    """Turn botocore's errors into AwsError, with one line.

    Raises:
        AwsError: AWS refused a request, or cannot be reached.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise AwsError(explain(error, profile)) from error
