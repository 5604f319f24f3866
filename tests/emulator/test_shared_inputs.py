"""Programs that try to change what other jobs read: tests/adversaries/shared/."""

from pathlib import Path

from tests.emulator.world import World

ADVERSARIES = sorted(Path(__file__).parents[1].glob("adversaries/shared/*.sh"))

LOOK = """
cd "$1"
find . | sort > "$output_dir/names"
cat a.txt deep/b.txt > "$output_dir/text"
"""


def test_no_job_sees_what_an_earlier_one_did_to_the_shared_inputs(world: World) -> None:
    world.implement(
        """bash -c 'bash "$script" "$reference"; echo ended > "$output_dir/ended"'""",
        variables={"script": "text", "reference": "folder"},
        output_prefix="{job_id}",
    )
    look = world.folder / "look.sh"
    look.write_text(LOOK)
    for name in ("a", "deep/b"):
        world.put(f"in/{name}.txt", f"{name}\n".encode())
    worker = world.start_worker()
    seen = {}
    for path in ADVERSARIES:
        world.send([{"script": str(path)}], reference="in")
        world.wait_until(world.empty)
        # Another path of the same script is another job.
        (job,) = world.send(
            [{"script": f"{look.parent}/./{'./' * len(seen)}look.sh"}], reference="in"
        )
        world.wait_until(world.empty)
        seen[path.stem] = [world.get(f"{job.job_id}/{name}") for name in ("names", "text")]
    worker.terminate()
    worker.wait()
    assert {record["outcome"] for record in world.records()} == {"done"}
    expected = [b".\n./a.txt\n./deep\n./deep/b.txt\n", b"a\ndeep/b\n"]
    assert seen == {path.stem: expected for path in ADVERSARIES}
