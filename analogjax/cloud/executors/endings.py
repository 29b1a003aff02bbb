"""How a process ended that left no result, and what that likely means."""

import signal

_MEANINGS = {
    signal.SIGKILL: "most likely by the kernel, for want of memory (its log tells), or by an operator",
    signal.SIGTERM: "somebody, or a shutdown of the machine, asked it to end",
    signal.SIGINT: "somebody, or a shutdown of the machine, asked it to end",
    signal.SIGSEGV: "a fault in compiled code, or memory that ran out",
    signal.SIGBUS: "a disk or shared memory that is full, or a fault in compiled code",
    signal.SIGABRT: "it gave up, most likely for want of memory (its log tells)",
    signal.SIGFPE: "a fault in compiled code",
    signal.SIGILL: "a processor that lacks an instruction that the program was compiled for",
    signal.SIGXFSZ: "a file became larger than an experiment may write",
    signal.SIGXCPU: "its time on the processor was used up",
}
_OF_SHELLS = 128  # a shell adds it to the signal that ended its last command


def told(code: int) -> str:
    """An exit code, negative for a signal, in words; empty for 0."""
    if code == 0:
        return ""
    if code > _OF_SHELLS:
        return told(_OF_SHELLS - code)
    if code > 0:
        return f"exit code {code}"
    try:
        found = signal.Signals(-code)
    except ValueError:
        return f"ended by signal {-code}"
    meaning = _MEANINGS.get(found)
    return f"ended by signal {-code} ({found.name}){f': {meaning}' if meaning else ''}"
