"""A model server beside a worker: started with it, on a port of its own, and gone when the worker is gone."""

import atexit
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from jql.errors import RecipeError
from jql.llm import guardian
from jql.llm.endpoint import Endpoint, EndpointError, probe

POLL_S = 0.2
TAIL = 200  # characters of the log in an error


def command_line(command: str, model: str, port: int) -> list[str]:
    """The words of a command template with {model} and {port} filled in; other braces stay, as in JSON arguments.

    Raises:
        RecipeError: it is empty, its quotes do not match, or it has no {port}.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RecipeError(f"serve: {command!r}: {error}; correct the quotes") from error
    if not words or "{port}" not in command:
        raise RecipeError(
            f"serve: expected a command with {{port}}, such as 'vllm serve {{model}} --port {{port}}', got {command!r}"
        )
    return [word.replace("{model}", model).replace("{port}", str(port)) for word in words]


def free_port() -> int:
    """A port on loopback that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A model server as a subprocess, ready when this is made.

    Attributes:
        base_url: for an Endpoint. model: what to call the model there. log: file of what the server says.
    """

    def __init__(self, command: str, model: str, ready_s: float = 600) -> None:
        """`command` is a template with {model} and {port}; programs beside this Python are found first.

        Raises:
            EndpointError: the server ends, or does not answer within `ready_s`; with the end of its log.
            RecipeError: of `command`.
        """
        port = free_port()
        words = command_line(command, model, port)
        self.model, self.base_url = model, f"http://127.0.0.1:{port}/v1"
        self._line = shlex.join(words)
        handle, self.log = tempfile.mkstemp(prefix="jql-server-", suffix=".log")
        pipe, self._pipe = os.pipe()
        # Programs of this environment are found though it is not activated, as in a Ray worker.
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, str(pipe), *words],
                stdout=handle,
                stderr=handle,
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PATH": path},
                pass_fds=(pipe,),
                start_new_session=True,
            )
        finally:
            os.close(pipe)
            os.close(handle)
        atexit.register(self.close)
        try:
            self._wait(port, time.monotonic() + ready_s, ready_s)
        except BaseException:
            self._end()
            raise

    def _wait(self, port: int, deadline: float, ready_s: float) -> None:
        last = "nothing listens"
        while time.monotonic() < deadline:
            self.check()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                try:
                    probe(Endpoint(self.base_url, self.model, timeout_s=deadline - time.monotonic() + 1, retries=0))
                    return
                except EndpointError as error:
                    if error.status in (401, 402, 403, 404, 405, 501):
                        raise EndpointError(f"{error}; log {self.log}: {self._tail()}", error.status) from error
                    last = str(error)
            time.sleep(POLL_S)
        raise EndpointError(f"{self._line}: not ready in {ready_s:g} s ({last}); log {self.log}: {self._tail()}")

    def check(self) -> None:
        """Whether the server still runs.

        Raises:
            EndpointError: it has ended; with the end of its log.
        """
        if self._process.poll() is not None:
            raise EndpointError(f"{self._line}: the server has ended; log {self.log}: {self._tail()}")

    def _tail(self) -> str:
        with open(self.log, "rb") as file:
            file.seek(max(0, os.path.getsize(self.log) - 4 * TAIL))
            text = " ".join(file.read().decode("utf-8", "replace").split())
        return "..." + text[-TAIL:] if len(text) > TAIL else text or "empty"

    def close(self) -> None:
        """End the server and remove its log."""
        self._end()
        with suppress(FileNotFoundError):
            os.unlink(self.log)

    def _end(self) -> None:
        atexit.unregister(self.close)
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        try:
            self._process.wait(guardian.GRACE_S + 5)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
