"""Run by the tests as a program: trainings that are killed with SIGKILL at random moments, again and again.

`killed_training.py KIND FOLDER KILLS SEED` prints one line of JSON: how many kills there were, how many trainings came
to their end, and which of those ended with other bits, or another best epoch, than one that was never interrupted.
KIND is a module beside this file with `train(folder)`. Children are forked from this process, which has imported
everything but has no thread, no JAX backend and no open file: importing it all for each kill would take minutes.
"""

import importlib
import itertools
import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import orbax.checkpoint  # noqa: F401  imported here once, else each child would


def child(train, folder, output):
    """Start a training in a process of its own; its result goes to the file `output`."""
    pid = os.fork()
    if pid == 0:
        try:
            Path(output).write_text(json.dumps(train(str(folder))))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return pid


def wait(pid):
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), f"a training failed with {status}"
    return status


def newest(folder):
    return max((int(one.name[5:]) for one in folder.glob("step_*")), default=0)


def kill_within(pid, folder, dice, last):
    """Kill it at a random moment: after some more backups, or before the first one."""
    target, running = newest(folder) + dice.randrange(0, 1 + last // 3), os.waitid
    while newest(folder) < target:
        if running(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.001)
    time.sleep(dice.uniform(0.0, 0.05 if target else 1.0))
    os.kill(pid, signal.SIGKILL)


def main(kind, folder, kills, seed):
    train, dice = importlib.import_module(kind).train, random.Random(seed)
    wait(child(train, folder / "whole", folder / "whole.json"))
    expected, last = json.loads((folder / "whole.json").read_text()), newest(folder / "whole")
    done, ends, different = 0, 0, []
    for trial in itertools.count():
        output, place = folder / f"{trial}.json", folder / f"run{trial}"
        while not output.exists() or not output.read_text():
            pid = child(train, place, output)
            if done < kills:
                kill_within(pid, place, dice, last)
            done += wait(pid) == -signal.SIGKILL
        ends += 1
        if json.loads(output.read_text()) != expected:
            different.append(trial)
        if done >= kills:
            print(json.dumps({"kills": done, "ends": ends, "different": different}))
            return


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called|.*multi-threaded.*")
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
