"""What every engine must do, whichever it is. A test module gives the fixture `executor` and collects these."""

import shlex
import time

from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors import Executor, Phase, Ticket
from tests.cloud.executors.clusters import until


def shell(name: str, text: str, **environment: str) -> Ticket:
    return Ticket(name, ("/bin/sh", "-c", text), environment)


def phase(executor: Executor, name: str) -> Phase:
    return executor.phases([name])[name]


def log(executor: Executor, name: str, limit: int = 65536) -> str:
    """The log; empty where the engine can't give it now."""
    try:
        return executor.logs(name, limit)
    except ExecutorError:
        return ""


def in_order(text: str, *lines: str) -> bool:
    """Whether these are lines of the text, in this order; others may stand between them."""
    rest = iter(text.splitlines())
    return all(line in rest for line in lines)


class Contract:
    """The suite; `patience` is how long the engine may take for one thing [s].

    An engine that `adds_lines` of its own to a log may put them anywhere between those of the job.
    """

    patience = 30.0
    adds_lines = False

    def test_a_job_runs_once_and_ends(self, executor, tmp_path):
        mark = shlex.quote(str(tmp_path / "runs"))
        ticket = shell("ajx-once-1", f"echo run >> {mark}; sleep 1")
        for _ in range(3):
            executor.submit(ticket)
        until(lambda: phase(executor, ticket.name) is Phase.ENDED, self.patience, "the end")
        executor.submit(ticket)
        time.sleep(1)
        assert (tmp_path / "runs").read_text() == "run\n"

    def test_arguments_environment_and_output_arrive_as_they_are(self, executor):
        words = ("it's", 'a "b"', "$HOME", "a\\b", "; exit 3", "ü")
        executor.submit(Ticket("ajx-words-1", ("printf", "[%s]\\n", *words), {}))
        executor.submit(shell("ajx-words-2", 'echo "<$AJX_WORD>"; echo wrong >&2', AJX_WORD="it's $HOME"))
        until(lambda: phase(executor, "ajx-words-2") is Phase.ENDED, self.patience)
        until(lambda: phase(executor, "ajx-words-1") is Phase.ENDED, self.patience)
        lines = [f"[{word}]" for word in words]
        until(lambda: in_order(log(executor, "ajx-words-1"), *lines), self.patience, "its log")  # may come late
        until(lambda: in_order(log(executor, "ajx-words-2"), "<it's $HOME>", "wrong"), self.patience, "its log")
        assert executor.logs("ajx-nothing-1") == ""

    def test_the_end_of_a_log_can_be_had_alone(self, executor):
        name = "ajx-tail-1"
        executor.submit(shell(name, "echo begin; sleep 2; echo end"))
        until(lambda: phase(executor, name) is Phase.ENDED, self.patience)
        until(lambda: in_order(log(executor, name), "begin", "end"), self.patience, "its log")
        until(lambda: len(log(executor, name, 4)) == 4, self.patience, "the end of its log")  # may be refused
        until(lambda: log(executor, name)[-4:] == log(executor, name, 4), self.patience, "the same end")
        if not self.adds_lines:
            assert log(executor, name) == "begin\nend\n"

    def test_jobs_that_nobody_knows(self, executor):
        assert executor.phases(["ajx-nothing-1", "ajx-nothing-2"]) == dict.fromkeys(
            ["ajx-nothing-1", "ajx-nothing-2"], Phase.UNKNOWN
        )
        executor.cancel("ajx-nothing-1")
        assert executor.phases([]) == {}

    def test_a_cancelled_job_and_its_children_end(self, executor, tmp_path):
        beat = tmp_path / "beat"
        executor.submit(shell("ajx-stop-1", f"while true; do date +%N > {beat}; sleep 0.2; done & wait"))
        until(beat.exists, self.patience, "the first beat")
        assert phase(executor, "ajx-stop-1") is Phase.RUNNING
        for _ in range(2):
            executor.cancel("ajx-stop-1")
        until(lambda: phase(executor, "ajx-stop-1") is Phase.ENDED, self.patience, "the end")
        last = beat.read_text()
        time.sleep(1)
        assert beat.read_text() == last

    def test_a_job_that_fails_has_ended(self, executor):
        executor.submit(shell("ajx-fail-1", "exit 3"))
        until(lambda: phase(executor, "ajx-fail-1") is Phase.ENDED, self.patience)
        until(lambda: executor.ending("ajx-fail-1") != "", self.patience, "how it ended")
        assert executor.ending("ajx-nothing-1") == ""

    def test_a_log_is_followed_from_where_a_reader_was(self, executor):
        name = "ajx-follow-1"
        executor.submit(shell(name, "echo begin; sleep 2; echo end"))
        until(lambda: "begin" in log(executor, name), self.patience)
        first, after = executor.log_part(name, 0)
        until(lambda: phase(executor, name) is Phase.ENDED and "end" in log(executor, name), self.patience)
        rest, end = executor.log_part(name, after)
        whole, all_of_it = executor.log_part(name, 0)
        assert end == all_of_it and whole == first + rest and in_order(whole, "begin", "end")
        assert executor.log_part(name, end) == ("", end) and executor.log_part("ajx-nothing-1", 5) == ("", 0)

    def test_what_is_forgotten_is_unknown(self, executor):
        executor.submit(shell("ajx-forget-1", "echo done"))
        until(lambda: phase(executor, "ajx-forget-1") is Phase.ENDED, self.patience)
        for _ in range(2):
            executor.forget("ajx-forget-1")
        executor.forget("ajx-nothing-1")
