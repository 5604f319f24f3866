"""config.py: what is read, what is refused, and with which message."""

from pathlib import Path

import pytest

from ds.control.files.config_file import check_config, execute_config
from ds.control.files.project import load_project
from ds.jobs.problems import BadInput
from ds.jobs.settings import INSTEAD, NEEDLESS, SETTING_NAMES, SETTINGS, Settings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.py"
    path.write_text(text, encoding="utf-8")
    return path


def read_config(path: Path) -> Settings:
    return check_config(*execute_config(path))


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(BadInput) as refused:
        read_config(write(tmp_path, text))
    return str(refused.value)


def test_a_file_with_only_a_name_has_every_default(tmp_path: Path) -> None:
    settings = read_config(write(tmp_path, "APP_NAME = 'Me'\n"))
    assert settings.APP_NAME == "Me"
    assert settings.LOG_GROUP_NAME == "Me"
    assert settings.MEMORY == 4000
    assert settings.JOB_RETRIES == 3
    assert settings.JOB_TIMEOUT_MINUTES == 60
    assert settings.MAX_HOURS == 72
    assert settings.CHECK_IF_DONE_BOOL is False
    assert settings.program == {}
    assert settings.warnings == ()


UNDERSTOOD = [
    ("CHECK_IF_DONE_BOOL = 'True'", "CHECK_IF_DONE_BOOL", True),
    ("CHECK_IF_DONE_BOOL = ' false '", "CHECK_IF_DONE_BOOL", False),
    ("MACHINE_TYPE = 'm5.xlarge'", "MACHINE_TYPE", ["m5.xlarge"]),
    (
        "MACHINE_TYPE = ['m5.xlarge', 'c7g-flex.large']",
        "MACHINE_TYPE",
        ["m5.xlarge", "c7g-flex.large"],
    ),
    ("MACHINE_TYPE = ['u-6tb1.112xlarge']", "MACHINE_TYPE", ["u-6tb1.112xlarge"]),
    ("MEMORY = '8000'", "MEMORY", 8000),
    ("MEMORY = 4 * 1000", "MEMORY", 4000),
    ("JOB_TIMEOUT_MINUTES = 660", "JOB_TIMEOUT_MINUTES", 660),
    ("JOB_TIMEOUT_MINUTES = 0.5", "JOB_TIMEOUT_MINUTES", 0.5),
    ("MACHINE_PRICE = 0.004", "MACHINE_PRICE", 0.004),
    ("MACHINE_PRICE = ''", "MACHINE_PRICE", None),
    ("MACHINE_PRICE = 0", "MACHINE_PRICE", None),
    ("EBS_VOL_SIZE = 22", "EBS_VOL_SIZE", 22),
    ("WORKING_FOLDER = '/opt/fiji'", "WORKING_FOLDER", "/opt/fiji"),
    ("WORKING_FOLDER = 'image'", "WORKING_FOLDER", "image"),
    ("LOG_GROUP_NAME = '/my/logs'", "LOG_GROUP_NAME", "/my/logs"),
    ("LOG_GROUP_NAME = '/aws/mine'", "LOG_GROUP_NAME", "/aws/mine"),
    ("EXPECTED_NUMBER_FILES = 0", "EXPECTED_NUMBER_FILES", 0),
    (
        "SECRETS = {'TOKEN': 'arn:aws:secretsmanager:us-east-1:1:secret:x'}",
        "SECRETS",
        {"TOKEN": "arn:aws:secretsmanager:us-east-1:1:secret:x"},
    ),
]


@pytest.mark.parametrize(("line", "name", "value"), UNDERSTOOD)
def test_known_spellings_are_read(tmp_path: Path, line: str, name: str, value: object) -> None:
    settings = read_config(write(tmp_path, f"APP_NAME = 'Me'\n{line}\n"))
    assert getattr(settings, name) == value


ARN = "arn:aws:secretsmanager:us-east-1:1:secret:x"

REFUSED = [
    (
        "MEMORY = 'lots'",
        "config.py line 2, MEMORY: is 'lots'; must be a whole number from 6 to 25,000,000 MB",
    ),
    ("MEMORY = 1.5", "MEMORY: is 1.5; must be a whole number"),
    ("MEMORY = 0", "MEMORY: is 0; must be a whole number from 6"),
    (
        "CLUSTER_MACHINES = True",
        "CLUSTER_MACHINES: is True; must be a whole number from 1 to 10,000",
    ),
    (
        "JOB_TIMEOUT_MINUTES = 661",
        "JOB_TIMEOUT_MINUTES: is 661; must be a number greater than 0 and at most 660 minutes",
    ),
    ("JOB_TIMEOUT_MINUTES = 0", "JOB_TIMEOUT_MINUTES: is 0; must be a number greater than 0"),
    ("JOB_TIMEOUT_MINUTES = float('nan')", "JOB_TIMEOUT_MINUTES: is nan"),
    ("MACHINE_PRICE = -1", "MACHINE_PRICE: is -1; must be dollars per hour"),
    ("MACHINE_PRICE = 'cheap'", "MACHINE_PRICE: is 'cheap'; must be dollars per hour"),
    ("CHECK_IF_DONE_BOOL = 'maybe'", "CHECK_IF_DONE_BOOL: is 'maybe'; must be True or False"),
    ("MACHINE_TYPE = []", "MACHINE_TYPE: is []; must be a list such as"),
    ("MACHINE_TYPE = ['m5 xlarge']", "MACHINE_TYPE: is 'm5 xlarge'; must be a list such as"),
    ("AWS_BUCKET = 's3://mine'", "AWS_BUCKET: is 's3://mine'; must be the name of a bucket"),
    ("LOG_GROUP_NAME = 'aws/mine'", "LOG_GROUP_NAME: is 'aws/mine'; must be letters, digits and"),
    ("WORKING_FOLDER = 'opt'", "WORKING_FOLDER: is 'opt'; must be '', 'image' or a path"),
    ("NECESSARY_STRING = 3", "NECESSARY_STRING: is 3; must be text"),
    ("MEMROY = 4000", "config.py line 2, MEMROY: unknown setting; did you mean MEMORY?"),
    ("Memory = 16000", "config.py line 2, Memory: unknown setting; write MEMORY"),
    (
        "GPUS = 3; DOCKER_CORES = 2",
        "line 2, GPUS: 3 cannot be divided among DOCKER_CORES = 2 jobs; must be a multiple of it",
    ),
    ("GPUS = 1; DOCKER_CORES = 4", "GPUS: 1 cannot be divided among DOCKER_CORES = 4 jobs"),
    ("GPU = 1", "GPU: unknown setting; did you mean GPUS?"),
    ("JOB_RETRIE = 1", "did you mean JOB_RETRIES?"),
    ("AWS_THING = 1", "config.py line 2, AWS_THING: is a reserved name"),
    ("PATH = '/x'", "PATH: is a reserved name"),
    ("API_KEY = 'hunter2'", "API_KEY: looks like a secret, which must not be stored in a file"),
    ("DB_PASSWORD = 'hunter2'", 'write SECRETS = {"DB_PASSWORD": "arn:aws:...'),
    (
        "MINE = 'AKIAIOSFODNN7EXAMPLE'",
        "MINE: looks like a secret, which must not be stored in a file",
    ),
    (
        "AWS_SECRET_ACCESS_KEY = 'x'",
        "a secret, which must not be stored in a file; remove it: AWS_PROFILE has",
    ),
    (f"SECRETS = {{'PATH': '{ARN}'}}", "SECRETS, PATH: is a reserved name"),
    (
        f"SECRETS = {{'MEMORY': '{ARN}'}}",
        "SECRETS, MEMORY: is the name of a DS setting; give it another",
    ),
    (f"SECRETS = {{'a b': '{ARN}'}}", "SECRETS, a b: is not a name with its ARN; must be"),
    ("THING = {1: 2}", "THING: is of type dict; must be text, a number, True, False, None"),
    ("THING = [1, 2]", "THING: is of type list; must be text"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_an_invalid_line_is_refused_with_its_number(
    tmp_path: Path, line: str, message: str
) -> None:
    said = refusal(tmp_path, f"APP_NAME = 'Me'\n{line}\n")
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "lines", ["GPUS = 0\nDOCKER_CORES = 8", "GPUS = 4\nDOCKER_CORES = 2", "GPUS = 3"]
)
def test_gpus_are_divided_among_the_jobs_of_a_container(tmp_path: Path, lines: str) -> None:
    (tmp_path / "config.py").write_text(f"APP_NAME = 'Me'\n{lines}\n")
    assert not check_config(*execute_config(tmp_path / "config.py")).warnings


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "APP_NAME = '1'\n\nMEMROY = 1\nJOB_RETRIES = 0\nPASSWORD = 'x'\nGPUS = -1\n"
    lines = refusal(tmp_path, text).splitlines()
    places = [line.split(",")[0] for line in lines]
    assert places == [f"config.py line {number}" for number in (1, 3, 4, 5, 6)]


def test_a_missing_app_name_is_reported(tmp_path: Path) -> None:
    assert "APP_NAME: has no value" in refusal(tmp_path, "MEMORY = 4000\n")


def test_the_line_is_that_of_the_last_assignment(tmp_path: Path) -> None:
    text = "APP_NAME = 'Me'\nMEMORY = 1000\nif True:\n    MEMORY = 0\n"
    assert refusal(tmp_path, text).startswith("config.py line 4, MEMORY")


@pytest.mark.parametrize(
    "line",
    [
        "PASSWORD = 'hunter2'",
        "SECRETS = {'TOKEN': 'hunter2'}",
        "SECRETS = ['hunter2']",
        "SECRETS = 'hunter2'",
        "SECRETS = {'a b': 'hunter2'}",
        "GITHUB_TOKEN = ['hunter2']",
        "MINE = ['AKIAIOSFODNN7EXAMPLE', 'hunter2']",
        "MINE = '-----BEGIN RSA PRIVATE KEY-----hunter2'",
        "AWS_THING = 'AKIAIOSFODNN7EXAMPLE hunter2'",
    ],
)
def test_a_secret_is_never_printed(tmp_path: Path, line: str) -> None:
    assert "hunter2" not in refusal(tmp_path, f"APP_NAME = 'Me'\n{line}\n")


def test_other_upper_case_names_are_settings_of_the_program(tmp_path: Path) -> None:
    text = (
        "import os\nfrom pathlib import Path as PATHLIB\n"
        "APP_NAME = 'Me'\nMY_NAME = 'Ada'\nLEVEL = 0\nON = False\nNOTHING = None\n"
        "PARTS = ('a', 'b')\nlower = 'x'\n_HIDDEN = 'x'\n\ndef F(): pass\n"
    )
    assert read_config(write(tmp_path, text)).program == {
        "MY_NAME": "Ada",
        "LEVEL": 0,
        "ON": False,
        "NOTHING": None,
        "PARTS": ["a", "b"],
    }


def test_a_setting_in_lower_case_beside_the_real_one_is_a_warning(tmp_path: Path) -> None:
    settings = read_config(write(tmp_path, "APP_NAME = 'Me'\nMEMORY = 4000\nmemory = 16000\n"))
    assert settings.MEMORY == 4000
    (warning,) = settings.warnings
    assert str(warning) == "config.py line 3, memory: unknown setting; only MEMORY is read"
    assert "memory" not in settings.program
    (tmp_path / "job.py").write_text(
        "COMMAND = 'a {x} {output_dir}'\nVARIABLES = {'x': 'text'}\nOUTPUT_PREFIX = '{x}'\n"
    )
    assert "memory" not in load_project(tmp_path).definition.types


@pytest.mark.parametrize("name", NEEDLESS)
def test_needless_settings_are_accepted_with_a_warning(tmp_path: Path, name: str) -> None:
    settings = read_config(write(tmp_path, f"APP_NAME = 'Me'\n{name} = 60\n"))
    (warning,) = settings.warnings
    assert str(warning).startswith(f"config.py line 2, {name}: has no effect: ")
    assert name not in settings.program


def test_a_secret_with_the_name_of_a_setting_of_the_program_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"APP_NAME = 'Me'\nMINE = 'x'\nSECRETS = {{'MINE': '{ARN}'}}\n")
    assert said.startswith("config.py line 3, SECRETS, MINE: is also the name of a setting of the")


FAMILY = """
APP_NAME = 'DistributedCP'
DOCKERHUB_TAG = 'someone/distributed-cp:2'
AWS_REGION = 'us-east-1'
AWS_PROFILE = 'default'
SSH_KEY_NAME = 'mine.pem'
AWS_BUCKET = 'a-bucket'
ECS_CLUSTER = 'default'
CLUSTER_MACHINES = 3
TASKS_PER_MACHINE = 1
MACHINE_TYPE = ['m5.xlarge']
MACHINE_PRICE = 0.20
EBS_VOL_SIZE = 30
DOCKER_CORES = 4
CPU_SHARES = DOCKER_CORES * 1024
MEMORY = 15000
SECONDS_TO_START = 3*60
SQS_QUEUE_NAME = APP_NAME + 'Queue'
SQS_MESSAGE_VISIBILITY = 1*60
SQS_DEAD_LETTER_QUEUE = 'user_DeadMessages'
LOG_GROUP_NAME = APP_NAME
AUTO_MONITOR = 'True'
CREATE_DASHBOARD = 'True'
CLEAN_DASHBOARD = 'True'
ASSIGN_IP = 'False'
CHECK_IF_DONE_BOOL = 'False'
EXPECTED_NUMBER_FILES = 7
MIN_FILE_SIZE_BYTES = 1
NECESSARY_STRING = ''
SOURCE_BUCKET = 'a-bucket'
WORKSPACE_BUCKET = 'a-bucket'
DESTINATION_BUCKET = 'a-bucket'
UPLOAD_FLAGS = ''
DOWNLOAD_FILES = 'False'
SCRIPT_DOWNLOAD_URL = 'https://example.org/s.py'
USE_PLUGINS = 'False'
UPDATE_PLUGINS = 'False'
PLUGINS_COMMIT = 'False'
INSTALL_REQUIREMENTS = 'False'
REQUIREMENTS = ''
"""
"""Every setting of Distributed-Something and its descendants, in their spelling."""


def test_a_config_of_distributed_something_is_read_with_warnings(tmp_path: Path) -> None:
    settings = read_config(write(tmp_path, FAMILY))
    assert settings.MEMORY == 15000
    assert settings.DOCKER_CORES == 4
    assert settings.CHECK_IF_DONE_BOOL is False
    assert settings.program["USE_PLUGINS"] == "False"
    told = {warning.where.split(", ")[1] for warning in settings.warnings}
    assert told == set(NEEDLESS) | set(INSTEAD)
    assert set(INSTEAD) <= set(settings.program)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "APP_NAME = '2018_project'",
            "must be 1 to 40 letters, digits and -, beginning with a letter",
        ),
        ("MACHINE_PRICE = '0.10/h'", "must be dollars per hour such as 0.10, or None"),
        ("EBS_VOL_SIZE = 4", "must be a whole number from 8 to 16,384 GB"),
        ("AWS_ACCESS_KEY_ID = 'AKIAIOSFODNN7EXAMPLE'", "remove it: AWS_PROFILE has"),
    ],
)
def test_what_distributed_something_accepted_and_ds_refuses_is_reported(
    tmp_path: Path, line: str, message: str
) -> None:
    assert message in refusal(tmp_path, f"{FAMILY}{line}\n")


BROKEN = [
    ("APP_NAME = 'Me\n", "config.py line 1, column 12: is not valid Python: unterminated string"),
    ("APP_NAME = 'Me'\n\nx = 1 / 0\n", "config.py line 3: fails: ZeroDivisionError"),
    ("APP_NAME = 'Me'\nimport nonsense_here\n", "config.py line 2: fails: ModuleNotFoundError"),
    ("raise SystemExit(3)\n", "config.py line 1: fails: SystemExit: 3"),
    ("A = '\0'\n", "config.py: is not valid Python: source code string cannot contain null"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_a_broken_file_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith(message)
    assert len(said.splitlines()) == 1


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_bytes(b"\xef\xbb\xbfAPP_NAME = 'Me'\n")
    assert read_config(path).APP_NAME == "Me"


def test_a_missing_or_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config\.py: does not exist"):
        read_config(tmp_path / "config.py")
    (tmp_path / "config.py").write_bytes(b"NAME = '\xff'\n")
    with pytest.raises(BadInput, match="cannot be read"):
        read_config(tmp_path / "config.py")


def test_every_setting_has_a_meaning_and_its_own_name() -> None:
    assert len(set(SETTING_NAMES)) == len(SETTING_NAMES)
    for name in SETTINGS:
        assert SETTINGS[name].metadata["doc"]


def test_problems_of_config_and_job_definition_come_together(tmp_path: Path) -> None:
    write(tmp_path, "APP_NAME = 'Me'\nMEMORY = 0\nMY_NAME = 'Ada'\n")
    (tmp_path / "job.py").write_text("COMMAND = 'echo {MY_NAME} {nobody}'\nOUTPUT_PREFIX = 'x'\n")
    with pytest.raises(BadInput) as refused:
        load_project(tmp_path)
    said = str(refused.value)
    assert "MEMORY" in said
    assert "nobody" in said
    assert "{MY_NAME}" not in said
