"""Runs a command, and ends it and all its children when the process that started this one is gone. No imports of jql.

The owner holds the other end of a pipe and never writes to it: however the owner dies, the pipe ends. A signal at the
parent's death (prctl) would reach the command only, not the engine processes that vLLM starts, would come when a mere
thread of the owner ends, and has to be set between fork and exec, where a process with many threads can hang for ever.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

LOOK_S = 0.2
GRACE_S = 10.0


def main(pipe: int, command: list[str]) -> None:
    """Run the command in this process group until it ends or the pipe does, then end the whole group."""
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # a signal to the group is also to this process
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while child.poll() is None and not select.select([pipe], [], [], LOOK_S)[0]:
        pass
    if child.returncode is None:
        os.killpg(0, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    else:
        sys.stderr.write(f"the server ended by itself, exit code {child.returncode}\n")
        sys.stderr.flush()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
