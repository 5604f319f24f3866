"""The way to AWS: one session by config.py, clients that are patient, errors told in one line."""

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
from ds.jobs.settings import Settings

ATTEMPTS = 8
"""Of one request; AWS_MAX_ATTEMPTS of the environment changes it."""

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
    """botocore's session of a profile, whatever AWS_PROFILE of the environment says.

    Not boto3's, which takes longer to load and adds nothing to the clients that are used.

    Raises:
        ProfileNotFound: there is no such profile.
    """
    return botocore.session.Session(
        session_vars={"profile": (None, [], None, None)},
        profile=None if profile in ("", "default") else profile,
    )


class Aws:
    """One account in one region, as config.py names them.

    Attributes:
        region: AWS_REGION.
        profile: AWS_PROFILE.
    """

    def __init__(self, settings: Settings) -> None:
        """Find the profile; nothing is asked of AWS yet.

        'default' is what boto3 finds by itself (keys in the environment, the default profile, the
        role of the machine); AWS_PROFILE of the environment is not looked at: config.py says it.

        Raises:
            ProfileNotFound: there is no such profile.
        """
        self.region = settings.AWS_REGION
        self.profile = settings.AWS_PROFILE
        self._session = session(self.profile)
        # Also for the requests that get credentials.
        self._session.set_config_variable("region", self.region)
        self._clients: dict[str, Any] = {}

    def client(self, service: str, region: str = "") -> Any:
        """A client of a service; throttling is left to botocore's adaptive mode.

        Args:
            service: as boto3 calls it.
            region: another one than AWS_REGION.
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
        """Get them before anything is asked: botocore lets through what a helper's failure raises.

        Raises:
            botocore's errors: they cannot be had.
        """
        try:
            if "mfa_serial" in self._session.get_scoped_config() and not _at_a_terminal():
                raise ValueError("it wants an MFA code, which can be typed at a terminal only")
            credentials = self._session.get_credentials()
            if credentials is not None:
                credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError):
            raise
        except json.JSONDecodeError as error:
            what = "what its credential_process prints is no JSON"
            raise CredentialRetrievalError(provider="profile", error_msg=what) from error
        except (EOFError, OSError, ValueError) as error:
            raise CredentialRetrievalError(provider="profile", error_msg=str(error)) from error

    @functools.cached_property
    def caller(self) -> str:
        """The ARN of who asks."""
        return str(self.client("sts").get_caller_identity()["Arn"])

    @property
    def account(self) -> str:
        """The account's number."""
        return self.caller.split(":")[4]

    @property
    def partition(self) -> str:
        """ "aws", or that of China or of a government."""
        return self.caller.split(":")[1]

    def queue_url(self, name: str) -> str:
        """The URL that a queue has, or will have ("Amazon SQS queue and message identifiers")."""
        return f"{self.client('sqs').meta.endpoint_url}/{self.account}/{name}"


def _at_a_terminal() -> bool:
    """Whether botocore can ask: it does so at the terminal itself, whatever standard input is."""
    try:
        Path("/dev/tty").open().close()
    except OSError:
        return False
    return True


def code_of(error: ClientError) -> str:
    """AWS's word for an error, such as "AccessDenied"; SQS writes some with a prefix."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def explain(error: BotoCoreError | ClientError, profile: str = "default") -> str:
    """What went wrong and what to do, for a person.

    Args:
        error: of boto3.
        profile: AWS_PROFILE of config.py.
    """
    sso_login = f"log in again (aws sso login --profile {profile})"
    login = f"{sso_login}, or renew the keys"
    if isinstance(error, ClientError):
        code = code_of(error)
        message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
        told = f"AWS refused {error.operation_name}: {code or 'no reason given'}"
        told += f": {message}".rstrip(": .") if message else ""
        if code in _EXPIRED:
            return f"AWS refused {error.operation_name}: the credentials have expired; {login}"
        if code == "RequestTimeTooSkewed" or message.startswith(_WRONG_CLOCK):
            return f"{told}; set this machine's clock: AWS takes what was signed minutes ago only"
        if code in _WRONG_KEYS:
            # Not in AWS's words: they may quote the request, and in it the session's token.
            return (
                f"AWS refused {error.operation_name}: {code}; the keys of profile {profile} are "
                f"not valid: {login}"
            )
        if code in _DENIED and error.operation_name == "AssumeRole":
            return (
                f"{told}; profile {profile} may not take its role: see role_arn and "
                "source_profile in ~/.aws/config, and whether the role lets it (sts:AssumeRole)"
            )
        if code in _DENIED:
            return (
                f"{told}; this needs a right that docs/roles.md of DS lists: setup_AWS.py gives it"
            )
        return f"{told}; run the same command again when it is mended"
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ProfileNotFound):
        return f"{text}; write AWS_PROFILE in config.py as `aws configure list-profiles` shows it"
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return (
            f"There are no complete credentials for profile {profile}: {text}; do aws configure "
            "or aws configure sso, or name the profile as AWS_PROFILE in config.py"
        )
    if isinstance(error, (InvalidConfigError, ConfigParseError)):
        return f"{text}; mend profile {profile} in ~/.aws/config"
    if text.startswith("Error when retrieving"):  # "... credentials from custom-process: why"
        text = text.partition(": ")[2]
    cannot = f"The credentials of profile {profile} cannot be had: {text}"
    if isinstance(error, (SSOError, TokenRetrievalError)):
        return f"{cannot}; {sso_login}"
    if isinstance(error, CredentialRetrievalError):
        return f"{cannot}; see what the profile names in ~/.aws/config, and whether it works"
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return f"AWS cannot be reached: {text}; check network and AWS_REGION, then run it again"
    return f"AWS cannot be asked: {text}"


@contextlib.contextmanager
def reporting_errors(profile: str) -> Iterator[None]:
    """Turn what boto3 raises into Refused, with one line.

    Raises:
        Refused: AWS refused, or could not be asked.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise AwsError(explain(error, profile)) from error
