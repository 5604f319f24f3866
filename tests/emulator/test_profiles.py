"""Every kind of profile of ~/.aws works, and AWS_PROFILE and AWS_REGION of config.py are used."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider

from ds.cloud.rights import CONTROL_ROLE
from tests.emulator.account import Account, Ended, allow
from tests.implementation import run

REGION = "eu-central-1"
START = "https://lab.awsapps.com/start"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
NOT_FOR_PROFILES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)
ROLE = "arn:aws:iam::123456789012:role/lab"
BY_ROLE = "arn:aws:sts::123456789012:assumed-role/lab/"
BY_USER = "arn:aws:iam::123456789012:user/ann"


class Portal(http.server.BaseHTTPRequestHandler):
    """The two endpoints of IAM Identity Center that boto3 calls: for keys, and for a new token."""

    role: ClassVar[dict[str, str]] = {}
    tokens: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        if self.headers["x-amz-sso_bearer_token"] not in self.tokens:
            self._answer(401, {"message": "Session token not found or invalid"})
            return
        keys = {
            "accessKeyId": self.role["AWS_ACCESS_KEY_ID"],
            "secretAccessKey": self.role["AWS_SECRET_ACCESS_KEY"],
            "sessionToken": self.role["AWS_SESSION_TOKEN"],
            "expiration": int((time.time() + 3600) * 1000),
        }
        self._answer(200, {"roleCredentials": keys})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if given["refreshToken"] not in self.tokens:
            self._answer(400, {"error": "invalid_grant"})
            return
        self._answer(200, {"accessToken": "valid", "tokenType": "Bearer", "expiresIn": 3600})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        if status == 401:
            self.send_header("x-amzn-ErrorType", "UnauthorizedException")
        if status == 400:
            self.send_header("x-amzn-ErrorType", "InvalidGrantException")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@dataclass
class Home:
    """A person's home folder with ~/.aws, an account, and IAM Identity Center."""

    account: Account
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, config: str, credentials: str = "") -> None:
        (self.folder / ".aws/config").write_text(config)
        (self.folder / ".aws/credentials").write_text(credentials)

    def token(self, name: str, access: str, seconds: float, **more: str) -> None:
        """A token as `aws sso login` keeps it; `name` is the session's, or the start address."""
        content = {
            "startUrl": START,
            "region": REGION,
            "accessToken": access,
            "expiresAt": _time(seconds),
            "registrationExpiresAt": _time(3600),
            **more,
        }
        path = self.folder / ".aws/sso/cache" / f"{hashlib.sha1(name.encode()).hexdigest()}.json"
        path.write_text(json.dumps(content))

    def run(self, *words: str, setup_aws: bool = False) -> Ended:
        env = {"HOME": str(self.folder), **self.environment}
        without = [name for name in NOT_FOR_PROFILES if name not in self.environment]
        return self.account.run(*words, env=env, without=without, setup_aws=setup_aws)


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.fixture
def home(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    folder = tmp_path / "home"
    cache = folder / ".aws/sso/cache"
    cache.mkdir(parents=True)
    for provider in (SSOProvider, SSOTokenProvider):  # it reads HOME when it is imported
        monkeypatch.setattr(provider, "_SSO_TOKEN_CACHE_DIR", str(cache))
    account.client("iam").create_role(RoleName="lab", AssumeRolePolicyDocument=TRUST)
    Portal.role = account.control.role("lab")
    Portal.tokens = {"valid", "refresh"}
    location = {"LocationConstraint": REGION}
    account.client("s3").create_bucket(Bucket="lab-eu", CreateBucketConfiguration=location)
    account.configure(AWS_PROFILE="work", AWS_REGION=REGION, AWS_BUCKET="lab-eu")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    # The environment has only the endpoints of AWS, and another profile that must not be used.
    portal = {"AWS_ENDPOINT_URL_SSO": url, "AWS_ENDPOINT_URL_SSO_OIDC": url}
    yield Home(account, folder, {"AWS_PROFILE": "other", **portal})
    server.shutdown()
    server.server_close()


OTHER = "[profile other]\nregion = us-west-2\naws_access_key_id = other\n"
PROFILE = "[profile work]\nregion = us-west-1\n"


def user(home: Home) -> dict[str, str]:
    return home.account.control.user("ann")


def keys_of(keys: dict[str, str]) -> str:
    return "".join(f"{name.lower()} = {value}\n" for name, value in keys.items())


def static(home: Home) -> str:
    home.write(OTHER + PROFILE, f"[work]\n{keys_of(user(home))}")
    return BY_USER


def default(home: Home) -> str:
    home.account.configure(AWS_REGION=REGION, AWS_BUCKET="lab-eu")
    home.write(f"{OTHER}[default]\nregion = us-west-1\n", f"[default]\n{keys_of(user(home))}")
    return BY_USER


def static_session(home: Home) -> str:
    home.write(OTHER + PROFILE, f"[work]\n{keys_of(Portal.role)}")
    return BY_ROLE


def role(home: Home) -> str:
    role = f"role_arn = {ROLE}\nsource_profile = base\n"
    home.write(f"{OTHER}[profile work]\n{role}", f"[base]\n{keys_of(user(home))}")
    return BY_ROLE


def role_by_environment(home: Home) -> str:
    home.environment |= user(home)
    home.write(f"{OTHER}{PROFILE}role_arn = {ROLE}\ncredential_source = Environment\n")
    return BY_ROLE


def process(home: Home) -> str:
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    given = {"Version": 1, **dict(zip(names, Portal.role.values(), strict=True))}
    said = home.folder / "said.json"
    said.write_text(json.dumps({**given, "Expiration": _time(3600)}))
    home.write(f"{OTHER}{PROFILE}credential_process = cat {shlex.quote(str(said))}\n")
    return BY_ROLE


SSO = "sso_account_id = 123456789012\nsso_role_name = lab\n"
SESSION = f"[sso-session lab]\nsso_start_url = {START}\nsso_region = eu-west-3\n"


def sso(home: Home) -> str:
    home.token("lab", "valid", 3600)
    home.write(f"{OTHER}{PROFILE}{SSO}sso_session = lab\n{SESSION}")
    return BY_ROLE


def sso_refreshed(home: Home) -> str:
    sso(home)
    home.token("lab", "expired", -60, clientId="c", clientSecret="made up", refreshToken="refresh")
    return BY_ROLE


def sso_of_old(home: Home) -> str:
    home.token(START, "valid", 3600)
    home.write(f"{OTHER}{PROFILE}{SSO}sso_start_url = {START}\nsso_region = eu-west-3\n")
    return BY_ROLE


def role_by_sso(home: Home) -> str:
    sso(home)
    text = (home.folder / ".aws/config").read_text().replace("[profile work]", "[profile base]")
    home.write(f"{text}[profile work]\nrole_arn = {ROLE}\nsource_profile = base\n")
    return BY_ROLE


KINDS = [
    default,
    static,
    static_session,
    role,
    role_by_environment,
    process,
    sso,
    sso_refreshed,
    sso_of_old,
    role_by_sso,
]


def used(home: Home, principal: str) -> int:
    """Count the calls; all must be by the principal, and in the region of config.py."""
    calls = home.account.control.calls()
    assert {call["region"] for call in calls if call["service"] in ("sqs", "ecs")} == {REGION}
    assert {call["region"] for call in calls} <= {REGION, "us-east-1"}
    by = {call["principal"] for call in calls if call["operation"] != "AssumeRole"}
    assert all(name.startswith(principal) for name in by), by
    return len(calls)


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_of_this_kind_works(home: Home, kind: Callable[[Home], str]) -> None:
    principal = kind(home)
    home.account.control.forget_calls()
    ended = home.run("setup", "--dry-run")
    assert ended.code == 0, ended.output
    assert used(home, principal) >= 8


@pytest.mark.parametrize("kind", [role, sso])
def test_the_profile_works_for_every_command(home: Home, kind: Callable[[Home], str]) -> None:
    principal = kind(home)
    home.account.control.forget_calls()
    for words in (["check"], ["setup"], ["submitJob", "files/exampleJob.json"]):
        ended = home.run(*words)
        assert ended.code == 0, ended.output
    assert home.run("--dry-run", setup_aws=True).code == 0
    assert used(home, principal) > 40


def test_push_logs_in_to_ecr_with_the_profile_and_the_control_nodes_role(home: Home) -> None:
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    home.account.configure(AWS_PROFILE="work", DOCKERHUB_TAG=f"{registry}/lab/it:1")
    docker = home.folder / "bin/docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\n[ "$1" = image ] && echo "[{}]"; echo "$@" >> "$0.log"\n')
    docker.chmod(0o755)
    home.environment["PATH"] = f"{docker.parent}:{os.environ['PATH']}"
    right = "ecr:GetAuthorizationToken"
    for without, code in (("", 0), (right, 3)):
        keys = allow(home.account, CONTROL_ROLE, without)
        home.write(OTHER + PROFILE, f"[work]\n{keys_of(keys)}")
        home.account.control.enforce()
        ended = home.run("push")
        home.account.control.enforce(on=False)
        assert ended.code == code, ended.output
    assert ended.output.startswith("AWS refused GetAuthorizationToken: ")
    assert ended.output.count("\n") == 1
    assert f"login --username AWS --password-stdin {registry}" in Path(f"{docker}.log").read_text()
    by = {(call["principal"], call["region"]) for call in home.account.control.calls(right)}
    assert by == {("arn:aws:sts::123456789012:assumed-role/ds-control/session", "eu-west-1")}


def test_the_users_own_process_finds_an_sso_session(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso(home)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)  # those of another test's emulator
    given = home.account.control.environment
    env = {**{k: v for k, v in given.items() if k not in NOT_FOR_PROFILES}, **home.environment}
    env |= {"HOME": str(home.folder), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = run(home.account.root, "setup", "--dry-run", env=env)
    assert (ended.returncode, ended.stderr) == (0, "")


def write(config: str, credentials: str = "") -> Callable[[Home], None]:
    return lambda home: home.write(OTHER + config, credentials)


def sso_out(home: Home) -> None:
    sso(home)
    home.token("lab", "expired", -60)


def sso_out_for_good(home: Home) -> None:
    sso_refreshed(home)
    Portal.tokens = {"valid"}


def sso_ended_there(home: Home) -> None:
    sso(home)
    Portal.tokens = set()


def sso_never(home: Home) -> None:
    sso(home)
    for path in (home.folder / ".aws/sso/cache").iterdir():
        path.unlink()


def sso_of_old_out(home: Home) -> None:
    sso_of_old(home)
    home.token(START, "valid", -60)


def no_right_to_role(home: Home) -> None:
    role(home)
    home.account.control.fault("sts:AssumeRole", "refused", times=None)


def expired_keys(home: Home) -> None:
    static_session(home)
    home.account.control.fault("sts:*", "refused", times=None, code="ExpiredToken", status=403)


def expired_source(home: Home) -> None:
    role(home)
    home.account.control.fault("sts:*", "refused", times=None, code="ExpiredToken", status=403)


LOGIN = "aws sso login --profile work"
PYTHON = shlex.quote(sys.executable)
FAILS = f"{PYTHON} -c 'import sys; sys.exit(\"the vault is closed\")'"
TALKS = f"{PYTHON} -c 'print(\"hello\")'"

WRONG = [
    (write(""), "profile (work) could not be found"),
    (write(PROFILE), "Profile work has no complete credentials"),
    (write(PROFILE, "[work]\naws_access_key_id = AKIA\n"), "aws_secret_access_key"),
    (expired_keys, "the credentials have expired"),
    (expired_source, "the credentials have expired"),
    (no_right_to_role, "profile work cannot assume its role"),
    (write(f"{PROFILE}role_arn = {ROLE}\nsource_profile = no\n"), '"no"'),
    (write(f"{PROFILE}role_arn = {ROLE}\n"), "source_profile"),
    (write(f"{PROFILE}role_arn = {ROLE}\nsource_profile = work\n"), "Infinite loop"),
    (
        write(
            f"{PROFILE}role_arn = {ROLE}\nsource_profile = other\nmfa_serial = my-phone\n",
            "[other]\naws_access_key_id = a\naws_secret_access_key = b\n",
        ),
        "MFA",
    ),
    (write(f"{PROFILE}credential_process = {FAILS}\n"), "the vault is closed"),
    (write(f"{PROFILE}credential_process = {TALKS}\n"), "credential_process"),
    (write(f"{PROFILE}credential_process = /no/such/program\n"), "/no/such/program"),
    (
        write(f"{PROFILE}role_arn = {ROLE}\nweb_identity_token_file = /no/such/token\n"),
        "/no/such/token",
    ),
    (write("[profile work\n"), ".aws/config"),
    (sso_out, LOGIN),
    (sso_out_for_good, LOGIN),
    (sso_ended_there, LOGIN),
    (sso_never, LOGIN),
    (sso_of_old_out, LOGIN),
]


@pytest.mark.parametrize(("break_it", "expected"), WRONG, ids=[text for _, text in WRONG])
def test_each_problem_of_a_profile_is_one_line_and_exit_code_3(
    home: Home, break_it: Callable[[Home], None], expected: str
) -> None:
    break_it(home)
    ended = home.run("setup")
    print(ended.output)
    assert ended.code == 3, ended.output
    assert expected in ended.output
    assert ended.output.count("\n") == 1, ended.output
    ended = home.run("check")
    assert ended.code == 3, ended.output
    assert "DS-CREDENTIALS" in ended.output
    assert "Traceback" not in ended.output
