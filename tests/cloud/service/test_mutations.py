"""Inputs that were damaged on the way, thousands of kinds of them: taken or refused with a reason, never an error."""

import base64
import hashlib
import os
import random

import pytest
import requests

from analogjax.cloud.description import Description
from analogjax.cloud.wire.training import chips_file
from tests.cloud.experiments import described, inference_protobuf, protobuf
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle

_NUMBER = int(os.environ.get("ANALOGJAX_MUTATIONS", "120"))  # of each kind
_TELLING = (b"\xff" * 10, b"\x80" * 9 + b"\x01", b"\x00" * 8, b"\x7f\xc0\x00\x00", b"\x0b")
_KINDS = [("train", protobuf), ("inference", lambda: inference_protobuf("t" * 32))]


def mutated(payload: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four changes: other bytes, cuts, repeats, insertions of numbers that mean a lot."""
    found = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        kind = chance.randrange(5)
        if kind == 0 and found:
            found[at % len(found)] = chance.randrange(256)
        elif kind == 1:
            del found[at : at + chance.randint(1, 40)]
        elif kind == 2:
            found[at:at] = found[at : at + chance.randint(1, 200)] * chance.randint(1, 20)
        elif kind == 3:
            found[at:at] = chance.choice(
                (b"\xff" * 10, b"\x80" * 9 + b"\x01", b"\x00" * 8, b"\x7f\xc0\x00\x00", b"\x0b")
            )
        elif found:
            found[at % len(found)] ^= 1 << chance.randrange(8)
    return bytes(found)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with service_in_thread(tmp_path_factory.mktemp("mutations"), Idle()) as running:
        yield running


def check(answer):
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"message"} and answer.json()["message"]


@pytest.mark.parametrize(
    ("category", "make"), [("train", protobuf), ("inference", lambda: inference_protobuf("t" * 32))]
)
def test_inputs_in_protobuf(service, category, make):
    chance, session = random.Random(7), requests.Session()
    session.headers.update(service.headers)
    id = session.post(f"{service.url}/experiments", json={"name": "x", "category": category}, timeout=30).json()["id"]
    url = session.post(f"{service.url}/inputs", json={"experiment": id}, timeout=30).json()["url"]
    payload = make().SerializeToString()
    for _ in range(_NUMBER):
        check(session.put(url, data=mutated(payload, chance), timeout=30))
    session.close()


def test_uploaded_chips(service):
    import jax

    from analogjax import nn

    made = Description.from_json(described())
    chips = chips_file(made, nn.init(made.model(), made.sample(), jax.random.key(0)))
    chance, session, body = random.Random(8), requests.Session(), described()
    session.headers.update(service.headers)
    for n in range(_NUMBER):
        damaged = mutated(chips, chance)
        body["weights"] = hashlib.sha256(damaged).hexdigest()
        sent = {"description": body, "weights": base64.b64encode(damaged).decode()}
        check(session.put(f"{service.url}/api/v1/experiments/{n:032d}", json=sent, timeout=30))
    session.close()
