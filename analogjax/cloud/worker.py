"""The process that runs one attempt of an experiment: `python -m analogjax.cloud.worker --store … --experiment …`.

It needs the store. It uses the service only to report its epochs and to learn whether to stop; while the service is
down it continues, and its results are found in the store later. It resumes from the checkpoints of the experiment, and
writes results only into the folder of its own attempt.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analogjax._processor import keep_own_programs
from analogjax.cloud.artefacts import Artefacts, Outcome
from analogjax.cloud.heartbeat import Heartbeat
from analogjax.errors import AnalogError
from analogjax.store import CheckpointError, Location, StoreError

if TYPE_CHECKING:  # the heartbeat starts before JAX is imported
    from analogjax.cloud.description import Description
    from analogjax.cloud.inference import InferenceDescription


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attempt; returns 0 when its outcome is in the store, 1 if it left none."""
    parser = argparse.ArgumentParser(prog="python -m analogjax.cloud.worker", description=__doc__)
    parser.add_argument("--store", required=True, help="folder or URL of the service's store")
    parser.add_argument("--endpoint-url", help="where S3 or Google Storage is, if not at its own address")
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--attempt", required=True, type=int)
    options = parser.parse_args(arguments)
    keep_own_programs()
    storage = {"endpoint_url": options.endpoint_url} if options.endpoint_url else None
    artefacts = Artefacts(Location.of(options.store, storage_options=storage), options.experiment)
    if artefacts.outcome(options.attempt) is not None:
        print("worker: this attempt has ended before; nothing is left to do.", flush=True)
        return 0
    ticket = artefacts.read_ticket(options.attempt)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    stop = threading.Event()
    heartbeat = Heartbeat(ticket, options.experiment, options.attempt, on_stop=lambda: _interrupt(stop))
    with heartbeat:
        outcome, files = _outcome(artefacts, ticket, options.attempt, heartbeat)
        stop.set()  # from here on nothing may be interrupted any more
        if outcome is None:
            return 1
        artefacts.write_outcome(options.attempt, outcome, files)
        heartbeat.tell_end()
    print(f"worker: {outcome.status}{f': {outcome.reason}' if outcome.reason else ''}", flush=True)
    return 0


def _interrupt(stop: threading.Event) -> None:
    if not stop.is_set():
        os.kill(os.getpid(), signal.SIGINT)  # the run ends between two stretches, its last checkpoint safe


def _outcome(
    artefacts: Artefacts, ticket: dict[str, Any], attempt: int, heartbeat: Heartbeat
) -> tuple[Outcome | None, dict[str, bytes]]:
    """The outcome of the attempt; none if it is no longer the current one."""
    epochs = heartbeat.epochs
    try:
        files = _run(artefacts, ticket, attempt, heartbeat)
        return Outcome("completed", None, epochs, {}), files
    except KeyboardInterrupt:
        if heartbeat.superseded:
            print("worker: another attempt has taken over; stopping.", flush=True)
            return None, {}
        if heartbeat.cancelled:
            return Outcome("cancelled", "cancelled by its owner", epochs, {}), {}
        return Outcome("lost", "its worker was asked to stop", epochs, {}), {}
    except MemoryError as error:
        traceback.print_exc()
        return Outcome(*_out_of_memory(error, ticket), epochs, {}), {}
    except (CheckpointError, StoreError, OSError) as error:  # another attempt may do better
        traceback.print_exc()
        return Outcome("full" if _is_full(error) else "lost", _told(error), epochs, {}), {}
    except Exception as error:  # whatever it is, it would happen again
        traceback.print_exc()
        if "RESOURCE_EXHAUSTED" in str(error):  # as XLA says it
            return Outcome(*_out_of_memory(error, ticket), epochs, {}), {}
        return Outcome("failed", _told(error), epochs, {}), {}


def _out_of_memory(error: BaseException, ticket: dict[str, Any]) -> tuple[str, str]:
    """Status and reason of a run that got no more memory: under a limit of its own, it would get none again either."""
    most = ticket.get("memory")
    room = "than the machine had left" if most is None else f"than the {most / 2**30:.1f} GiB that it may use"
    why = f"It needs more memory {room}: make batch_size or the layers smaller. ({_told(error)[:300]})"
    return "lost" if most is None else "failed", why


def _is_full(error: BaseException | None) -> bool:
    """Whether a full disk is the cause."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or (error is not None and _is_full(error.__cause__))


def _told(error: BaseException) -> str:
    kind = "" if isinstance(error, AnalogError) else f"{type(error).__name__}: "
    return f"{kind}{error}"[:2000]


def _run(artefacts: Artefacts, ticket: dict[str, Any], attempt: int, heartbeat: Heartbeat) -> dict[str, bytes]:
    """Run the described experiment, reporting every step to `heartbeat`; returns the files of the result."""
    import jax

    from analogjax.cloud.inference import InferenceDescription, description_from_json

    description = description_from_json(ticket["description"])
    device = _device(ticket["device"])
    print(f"worker: attempt {attempt}, on {device}, jax {jax.__version__}", flush=True)
    if isinstance(description, InferenceDescription):
        return _infer(description, artefacts, ticket, device, heartbeat)
    return _train(description, artefacts, ticket, attempt, device, heartbeat)


def _train(
    description: Description,
    artefacts: Artefacts,
    ticket: dict[str, Any],
    attempt: int,
    device: Any,
    heartbeat: Heartbeat,
) -> dict[str, bytes]:
    from analogjax.cloud.results import result_files
    from analogjax.cloud.wire.tensors import variables_of
    from analogjax.cloud.wire.training import weights_in
    from analogjax.experiments import CheckpointOptions, EpochEvent, Hooks, LocalRunner

    def on_epoch(event: EpochEvent) -> None:
        heartbeat.epoch(event.metrics)

    experiment = description.experiment(ticket["data_root"])
    if description.weights:
        chips = weights_in(artefacts.read_weights(description.weights))
        experiment = replace(experiment, variables=variables_of(description, chips))
    results = LocalRunner(device).run(
        experiment, description.max_elements, ticket["data_root"],
        seed=description.seed, progress=False,
        checkpoint_dir=artefacts.checkpoints,
        checkpoints=CheckpointOptions(every_steps=ticket["checkpoint_every_steps"]),
        record=artefacts.attempt(attempt) / "run", hooks=Hooks(on_epoch=on_epoch),
    )  # fmt: skip
    heartbeat.epochs[:] = list(results)  # those of earlier attempts too
    return result_files(description, results)


def _infer(
    description: InferenceDescription, artefacts: Artefacts, ticket: dict[str, Any], device: Any, heartbeat: Heartbeat
) -> dict[str, bytes]:
    """Run an inference from the start: a repeat depends only on the seed and its number, and has no checkpoint."""
    from analogjax.cloud.results import inference_files
    from analogjax.experiments import run_inference

    def on_repeat(result: dict[str, Any]) -> None:
        heartbeat.epoch(step_of(result))

    result = run_inference(
        description.experiment(_variables(description, artefacts, ticket), ticket["data_root"]),
        seed=description.seed, max_elements=description.max_elements, dataset_root=ticket["data_root"], device=device,
        on_repeat=on_repeat,
    )  # fmt: skip
    return inference_files(result)


def step_of(result: dict[str, Any]) -> dict[str, Any]:
    """The report of a repeat: its number, the accuracy (a fraction) and loss at the last time, and all of them."""
    runs = result["inference_runs"]
    last = runs["inference_results"][-1]
    return {
        "epoch": runs["inference_repeat"] - 1, "accuracy": last["avg_accuracy"] / 100, "valid_loss": last["avg_loss"],
        "inference_results": runs["inference_results"],
    }  # fmt: skip


def _variables(description: InferenceDescription, artefacts: Artefacts, ticket: dict[str, Any]) -> Any:
    """The weights, uploaded with the experiment or taken from a training."""
    from analogjax.cloud.description import Description
    from analogjax.cloud.wire.training import weights_in

    if description.weights:
        return description.exactly(weights_in(artefacts.read_weights(description.weights)))
    source = ticket["trained"]
    held = weights_in(artefacts.of(description.trained).read_result(source["attempt"], "output.pb"))
    return description.written(Description.from_json(source["description"]), held)


def _device(wanted: str) -> Any:
    """The accelerator if one is requested and available, else the CPU."""
    import jax

    return jax.devices("cpu")[0] if wanted == "cpu" else jax.devices()[0]


if __name__ == "__main__":
    sys.exit(main())
