"""Each slot of a worker has its own GPUs."""

from pathlib import Path

import pytest

from ds.worker.gpus import CUDA, NVIDIA, gpu_count, gpu_share

A, B, C, D = (f"GPU-{letter}1b2" for letter in "abcd")
ECS = {NVIDIA: f"{A},{B},{C},{D}"}


@pytest.mark.parametrize(
    ("environment", "existing", "slots", "cuda", "nvidia"),
    [
        # No GPUs, or one slot: nothing changes.
        ({}, 0, 2, None, None),
        ({NVIDIA: "all"}, 0, 2, None, None),
        (ECS, 0, 2, None, None),
        (ECS, 4, 1, None, None),
        # ECS lists UUIDs.
        (ECS, 4, 2, [f"{A},{B}", f"{C},{D}"], [f"{A},{B}", f"{C},{D}"]),
        (ECS, 4, 4, [A, B, C, D], [A, B, C, D]),
        ({NVIDIA: "MIG-1, MIG-2"}, 1, 2, ["MIG-1", "MIG-2"], ["MIG-1", "MIG-2"]),
        # Docker lists the machine's numbers; CUDA counts from 0.
        ({NVIDIA: "3,2"}, 2, 2, ["0", "1"], ["2", "3"]),
        ({NVIDIA: "10,9"}, 2, 2, ["0", "1"], ["9", "10"]),
        ({NVIDIA: "2,3"}, 4, 2, ["0,1", "2,3"], ["0,1", "2,3"]),  # not of this container
        # No list.
        *(
            ({NVIDIA: text}, 4, 2, ["0,1", "2,3"], ["0,1", "2,3"])
            for text in ("all", "", "void", "none", "0:0,0:1")
        ),
        ({}, 2, 2, ["0", "1"], ["0", "1"]),
        # What CUDA may use is less than what the container has.
        ({CUDA: "2,3"}, 4, 2, ["2", "3"], ["2", "3"]),
        ({CUDA: "3,1", NVIDIA: "all"}, 4, 2, ["3", "1"], ["3", "1"]),
        ({CUDA: f"{C},{B}", **ECS}, 4, 2, [C, B], [C, B]),
        ({CUDA: "2,3,-1,0"}, 4, 2, ["2", "3"], ["2", "3"]),
        *(({CUDA: text}, 4, 2, None, None) for text in ("", "-1", "NoDevFiles")),
        # This machine can have fewer GPUs than GPUS, or a number that does not divide.
        ({}, 1, 3, ["0", "0", "0"], ["0", "0", "0"]),
        ({}, 2, 3, ["0", "1", "0"], ["0", "1", "0"]),
        ({}, 3, 2, ["0", "1"], ["0", "1"]),
    ],
)
def test_slots_share_the_gpus_of_their_container(
    environment: dict[str, str],
    existing: int,
    slots: int,
    cuda: list[str] | None,
    nvidia: list[str] | None,
) -> None:
    shares = [gpu_share(environment, existing, slot, slots) for slot in range(slots)]
    if cuda is None or nvidia is None:
        assert shares == [{}] * slots
    else:
        assert [share[CUDA] for share in shares] == cuda
        assert [share[NVIDIA] for share in shares] == nvidia


@pytest.mark.parametrize(
    ("devices", "count"),
    [
        ([], 0),
        (["nvidiactl", "nvidia-uvm", "nvidia-modeset", "null"], 0),
        (["nvidia0", "nvidiactl"], 1),
        (["nvidia2", "nvidia11"], 2),
        (["dxg"], 1),
        (["dxg", "nvidia0", "nvidia1"], 2),
    ],
)
def test_gpus_are_counted_by_their_devices(tmp_path: Path, devices: list[str], count: int) -> None:
    for name in devices:
        (tmp_path / name).touch()
    assert gpu_count(tmp_path) == count
