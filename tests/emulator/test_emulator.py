"""The emulator of `run.py local`, where moto alone would differ from AWS."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.emulator.world import World


def test_no_message_is_received_twice_however_many_ask(world: World) -> None:
    bodies = [f"m{number}" for number in range(200)]
    world.send_bodies(bodies)

    def take(_: int) -> list[str]:
        taken = []
        while messages := world.sqs.receive_message(
            QueueUrl=world.settings.queue_url, MaxNumberOfMessages=3
        ).get("Messages"):
            taken += [message["Body"] for message in messages]
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = Counter(body for bodies in pool.map(take, range(8)) for body in bodies)
    assert taken == Counter(bodies)
