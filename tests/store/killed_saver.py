"""Run by the tests as a program: saves that are killed with SIGKILL at a random moment, each followed by a reader.

`killed_saver.py PLACE RUNS SEED` prints one line of JSON for each of RUNS kills. PLACE is JSON: a key of `KINDS`
and the arguments of that class. Savers and readers are forked from this process, which has imported everything but has
no thread, no JAX backend and no connection: a save takes a fraction of a second, so most kills fall inside it.
"""

import json
import os
import random
import select
import signal
import sys
import time
import traceback
import warnings
from functools import cached_property

import numpy as np

from analogjax.store import CheckpointError, Checkpoints, Location
from analogjax.store.snapshots import snapshots_at

KEEP = 3  # the newest, which no save may touch
AFRESH = 8  # kills between two measurements of how long a save takes


def tree(number):
    """A model of 300 kB; every leaf is a function of `number`."""
    chance = np.random.default_rng(number)
    leaves = {f"layer {n}": chance.standard_normal((100, 150), np.float32) for n in range(4)}
    return leaves | {"moments": chance.integers(0, 1000, 5000), "number": np.int32(number), "none": None}


def accuracy(number):
    return (number * 37 % 100) / 100


class Steps:
    """Checkpoints of one run."""

    def __init__(self, where, options=None, keep=KEEP):
        self.keep = keep
        self.where = Location.of(where, storage_options=options)  # one connection for each process

    def save(self, step, number):
        Checkpoints(self.where, keep_last=self.keep).save(
            step, tree(number), {"number": number}, {"accuracy": accuracy(number)}
        )

    def look(self):
        """What a reader finds: the number that each step holds, and what is published but not whole."""
        checkpoints = Checkpoints(self.where, read_only=True)
        found, torn = {}, []
        for step in checkpoints.steps():
            try:
                restored, meta = checkpoints.restore(tree(0), step)
                found[step] = meta["number"]
                if not same(restored, meta["number"]):
                    torn.append(f"step {step} is a mix")
            except CheckpointError as error:
                torn.append(str(error))
        whole = {f"step_{step:012d}" for step in found}
        published = snapshots_at(self.where).names()
        return found, torn + [f"{name} is published and not whole" for name in published if name not in whole]


def same(restored, number):
    wanted = tree(number)
    return restored.keys() == wanted.keys() and all(
        (value is None and restored[name] is None)
        or (restored[name].dtype == value.dtype and np.array_equal(restored[name], value))
        for name, value in wanted.items()
    )


class Experiments:
    """Experiments of one of aitoolbox's savers; a step is a time stamp. Each of an experiment's files is whole."""

    keep = KEEP

    def __init__(self, saver, place, **options):
        self.saver, self.place, self.options = saver, place, options

    @cached_property
    def open(self):
        from compat.aitoolbox.experiment import experiment_saver, local_experiment_saver

        kind = getattr(local_experiment_saver, self.saver, None) or getattr(experiment_saver, self.saver)
        return kind("project", "name", *self.place, keep_last=self.keep, **self.options)

    def save(self, step, number):
        from compat.aitoolbox.experiment.result_package.abstract_result_packages import PreCalculatedResultPackage

        package = PreCalculatedResultPackage({"number": number, "ballast": list(range(number, number + 2000))})
        self.open.save_experiment(self.model(number), package, None, stamp(step))

    def model(self, number):
        weights = {name: value for name, value in tree(number).items() if value is not None}
        if "PyTorch" not in self.saver:
            return weights
        import torch

        state = {name: torch.tensor(value) for name, value in weights.items()}
        return {"model_state_dict": state, "optimizer_state_dict": None, "epoch": number, "hyperparams": {}}

    def look(self):
        """As `Steps.look`; where a killed save left another model beside the old results, the number of the results."""
        saver, found, torn = self.open, {}, []
        for one in saver.list_experiments("project"):
            step = int(one.experiment_timestamp[-2:])
            try:
                found[step], whole = self.read(experiment_timestamp=one.experiment_timestamp)
                torn += [] if whole else [f"{one} is torn"]
            except Exception as error:
                if one.complete or type(error).__name__ != "NoSuchExperiment":
                    torn.append(f"{one}: {error!r}")
        return found, torn

    def read(self, **which):
        """The number in the results, and whether all is whole: as one if model and results are of one save."""
        from compat.aitoolbox.store.errors import MixedSaves

        try:
            both = self.open.load_experiment(**which)
        except MixedSaves:  # refused as one, hence each alone
            model = self.open.load_experiment(**which, with_results=False).model
            results = self.open.load_experiment(**which, with_model=False).results
            return results["number"], self.number(model) not in (-1, results["number"]) and full(results)
        return both.results["number"], self.number(both.model) == both.results["number"] and full(both.results)

    def number(self, model):
        """That of the save that all of a model is of; -1 if it is of several."""
        if "PyTorch" in self.saver:
            model = {name: value.numpy() for name, value in model["model_state_dict"].items()}
        number = int(model["number"])
        return number if same(model | {"none": None}, number) else -1


def full(results):
    number = results["number"]
    return results["ballast"] == list(range(number, number + 2000))


def stamp(step):
    return f"2026-01-01_00-{step // 60:02d}-{step % 60:02d}"


KINDS = {"steps": Steps, "experiments": Experiments}


def harm(before, after, step, number, finished, keep=KEEP):
    """What a save of `number` as `step` did that it must not do, given what readers found before and after."""
    committed = after.get(step) == number
    problems = [] if committed or (after.get(step) == before.get(step) and not finished) else [f"step {step} itself"]
    kept = sorted({*before, step})[-keep:] if committed else list(before)
    for other in {*before, *after} - {step}:
        superseded = other not in after and other not in kept
        if after.get(other) != before.get(other) and not superseded:
            problems.append(f"step {other} held {before.get(other)} and holds {after.get(other)}")
    return problems


def fork(act):
    """The number of a child process that does `act` and ends."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        act()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def save(place, step, number, seconds=None):
    """Lets a child save and kills it after so many seconds; returns its exit status and how long it lived."""
    begun = time.monotonic()
    pid = fork(lambda: place.save(step, number))
    handle = os.pidfd_open(pid)
    select.select([handle], [], [], seconds)
    os.close(handle)
    lived = time.monotonic() - begun
    os.kill(pid, signal.SIGKILL)  # a dead child that nobody waited for does not mind
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), lived


class Reader:
    """Another process, which lives through all kills and tells what it finds."""

    def __init__(self, place):
        asked, self.ask = os.pipe()
        self.told, tell = os.pipe()

        def serve():
            os.close(self.ask)
            while os.read(asked, 1):
                os.write(tell, json.dumps(place.look()).encode() + b"\n")

        fork(serve)
        os.close(tell)
        self.answers = open(self.told)

    def __call__(self):
        """The number that each step holds, and what is torn."""
        os.write(self.ask, b"?")
        found, torn = json.loads(self.answers.readline())
        return {int(step): number for step, number in found.items()}, torn


def main(place, runs, seed):
    chance, before, times, look = random.Random(seed), {}, [], Reader(place)
    for number in range(1, 1 + runs + place.keep + runs // AFRESH):
        measured = number <= place.keep or (number - place.keep) % (AFRESH + 1) == 0
        again = number > place.keep and number % 4 == 0
        # a step whose save was killed is saved again, as by a run that resumes
        step = chance.choice(sorted(before)) if again else max(before, default=0) + 1
        # the commit comes late in a save; of three times the least is that of a machine with nothing else to do
        moment = None if measured else chance.uniform(chance.choice([0, 0.6]), 1.2) * min(times[-3:])
        status, lived = save(place, step, number, moment)
        after, torn = look()
        times += [lived] if measured else []
        report = {"killed": status == -signal.SIGKILL, "status": status, "again": again, "moment": moment}
        report |= {"new": after.get(step) == number, "absent": step not in after, "lived": lived}
        report |= {"torn": torn, "harm": harm(before, after, step, number, status == 0, place.keep)}
        if not measured or torn or report["harm"] or status:
            print(json.dumps(report), flush=True)
        before = after


def warm_up(kind, saver=""):
    """Everything that each child would else import or ask for anew."""
    import gcsfs.core  # noqa: F401
    import orbax.checkpoint  # noqa: F401
    import s3fs  # noqa: F401

    from analogjax.store.provenance import provenance

    provenance()
    if kind == "experiments":
        from compat.aitoolbox.experiment import experiment_saver, local_experiment_saver  # noqa: F401
    if "PyTorch" in saver:
        import torch  # noqa: F401


if __name__ == "__main__":
    # JAX warns of fork, which may deadlock once it has threads: it has none here, no array was made.
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
    job = json.loads(sys.argv[1])
    warm_up(job["kind"], job.get("saver", ""))
    main(KINDS[job.pop("kind")](**job), int(sys.argv[2]), int(sys.argv[3]))
