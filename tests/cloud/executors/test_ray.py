"""Jobs on a real Ray cluster of two nodes: the contract, and a node that goes away."""

import shutil
import tempfile
from pathlib import Path

import pytest

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors import Phase, Ticket
from analogjax.cloud.executors.ray_jobs import RayExecutor
from tests.cloud.executors.clusters import free_port, ray_cluster, until
from tests.cloud.executors.contract import Contract, phase


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="ajx-ray-"))
    with ray_cluster(folder, nodes=2) as made:
        yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def executor(cluster):
    made = RayExecutor(cluster.address)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # it may have to wait for the other tests that need a cluster
class TestContract(Contract):
    """The suite of all engines."""

    patience = 90.0
    adds_lines = True  # of a job's start; by chance before, between or after what the job prints


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_node_that_goes_away(cluster, executor):
    names = ["ajx-node-1", "ajx-node-2"]  # one on each of the two nodes
    for name in names:
        executor.submit(Ticket(name, ("sleep", "300")))
    until(lambda: all(p is Phase.RUNNING for p in executor.phases(names).values()), 90, "both running")
    cluster.kill_node(1)
    until(lambda: list(executor.phases(names).values()).count(Phase.ENDED) == 1, 120, "the lost one's end")
    left = next(name for name, found in executor.phases(names).items() if found is Phase.RUNNING)
    executor.cancel(left)
    until(lambda: phase(executor, left) is Phase.ENDED, 60)


def test_a_cluster_that_does_not_answer():
    executor = RayExecutor(f"http://127.0.0.1:{free_port()}")
    for act in (lambda: executor.phases(["ajx-x-1"]), lambda: executor.submit(Ticket("ajx-x-1", ("true",)))):
        with pytest.raises(ExecutorError, match="does not answer"):
            act()
    executor.close()
