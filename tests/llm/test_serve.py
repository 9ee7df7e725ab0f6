"""A server beside a worker: a real one of transformers, ready, asked, and gone with its owner."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from llm_help import save_tiny_llama

from jql.errors import RecipeError
from jql.llm.endpoint import Endpoint, EndpointError, Reply, Request, Sampling, ask, probe
from jql.llm.serve import Server, command_line

REAL = "transformers serve {model} --device cpu --host 127.0.0.1 --port {port}"
HOSTILE = Path(__file__).with_name("hostile.py")
STAND_IN = f"{sys.executable} {HOSTILE} {{port}}"


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(what: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listens(base_url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(base_url.split(":")[2].split("/")[0])), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`transformers serve` on a tiny Llama."""
    for needed in ("torch", "transformers", "fastapi", "uvicorn", "accelerate"):
        pytest.importorskip(needed)
    server = Server(REAL, str(save_tiny_llama(tmp_path_factory.mktemp("llama"))), ready_s=300)
    yield server
    server.close()


def replies_of(endpoint: Endpoint, sampling: Sampling, *prompts: str) -> list[list[Reply]]:
    found: list[list[Reply]] = []
    requests = (Request(p, [{"role": "user", "content": p}]) for p in prompts)
    ask(endpoint, sampling, requests, lambda request, replies: found.append(replies))
    return found


def test_a_real_server_is_asked(tiny: Server) -> None:
    found = replies_of(Endpoint(tiny.base_url, tiny.model), Sampling(max_tokens=6), "Is bread good?", "река", "\ud800")
    assert len(found) == 3
    for (reply,) in found:
        assert reply.error is None and isinstance(reply.text, str)
        assert reply.finish in ("length", "stop")
        assert reply.tokens_in and reply.tokens_in > 0
        assert reply.tokens_out is not None and reply.tokens_out <= 6


def test_a_real_server_tells_its_version(tiny: Server) -> None:
    tiny.check()
    assert probe(Endpoint(tiny.base_url, tiny.model)) == f"{tiny.model}@main"


def test_a_real_server_that_ignores_n_is_asked_again(tiny: Server) -> None:
    sampling = Sampling(answers=3, temperature=1.0, top_p=1.0, max_tokens=8, seed=1)
    (replies,) = replies_of(Endpoint(tiny.base_url, tiny.model), sampling, "Why does bread rise?")
    assert [r.error for r in replies] == [None] * 3
    assert len({r.text for r in replies}) == 3  # drawn, and not thrice with the same seed
    assert replies[0].tokens_in and [r.tokens_in for r in replies[1:]] == [0, 0]


def test_a_real_server_that_ignores_logprobs_is_refused(tiny: Server) -> None:
    with pytest.raises(EndpointError, match="gave no log-probabilities; set score: sampled"):
        replies_of(Endpoint(tiny.base_url, tiny.model), Sampling(labels=5, max_tokens=2), "Count.")


def test_a_server_is_gone_after_closing() -> None:
    server = Server(STAND_IN, "any")
    assert replies_of(Endpoint(server.base_url, server.model), Sampling(), "a")[0][0].text == "fine"
    server.close()
    server.close()
    assert not listens(server.base_url)
    assert not Path(server.log).exists()
    with pytest.raises(EndpointError, match="nobody answers"):
        replies_of(Endpoint(server.base_url, "any", retries=0), Sampling(), "a")


OWNER = """
import sys, time, threading
from jql.llm.serve import Server
made = []
thread = threading.Thread(target=lambda: made.append(Server(sys.argv[1], "any")))
thread.start()
thread.join()  # the server must outlive the thread that started it
time.sleep(0.3)
made[0].check()
print(made[0].base_url, flush=True)
time.sleep(600)
"""

FAMILY = """
import os, signal, subprocess, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[3] == "deaf" else signal.SIG_DFL)
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[2], "w").write(f"{os.getpid()} {child.pid} {os.getppid()}")
sys.path.insert(0, sys.argv[4])
from hostile import FINE, Hostile, steps
with Hostile(steps(FINE), port=int(sys.argv[1])):
    threading.Event().wait()
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_leaves_no_server_behind(tmp_path: Path, death: signal.Signals) -> None:
    script, pids = tmp_path / "family.py", tmp_path / "pids"
    script.write_text(FAMILY)
    command = f"{sys.executable} {script} {{port}} {pids} hearing {HOSTILE.parent}"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, command], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    base_url = owner.stdout.readline().strip()
    family = [int(pid) for pid in pids.read_text().split()]
    assert listens(base_url) and all(alive(pid) for pid in family)
    owner.send_signal(death)
    owner.wait(10)
    wait_for(lambda: not any(alive(pid) for pid in family))  # the server, its child and the guardian
    assert not listens(base_url)


def test_a_server_that_does_not_listen_to_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, pids = tmp_path / "family.py", tmp_path / "pids"
    script.write_text(FAMILY)
    quick = tmp_path / "guardian.py"
    from jql.llm import guardian

    quick.write_text(Path(guardian.__file__).read_text().replace("GRACE_S = 10.0", "GRACE_S = 0.3"))
    monkeypatch.setattr(guardian, "__file__", str(quick))
    server = Server(f"{sys.executable} {script} {{port}} {pids} deaf {HOSTILE.parent}", "any")
    family = [int(pid) for pid in pids.read_text().split()]
    server.close()
    assert not any(alive(pid) for pid in family)


def test_a_server_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import sys\nprint('loading')\nsys.exit('CUDA out of memory')")
    with pytest.raises(EndpointError, match=r"dies\.py .*has ended; log .*: loading CUDA out of memory .*exit code 1"):
        Server(f"{sys.executable} {script} {{port}}", "any")


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(EndpointError, match="No such file or directory: 'no-such-server'"):
        Server("no-such-server --port {port}", "any")


def test_a_server_that_is_not_ready_in_time() -> None:
    with pytest.raises(EndpointError, match=r"not ready in 0.7 s \(nothing listens\); log .*: empty"):
        Server("sleep 600 {port}", "any", ready_s=0.7)


def test_a_server_without_that_model_is_not_waited_for(tmp_path: Path) -> None:
    script = tmp_path / "other.py"
    script.write_text(
        f"import sys, threading\nsys.path.insert(0, {str(HOSTILE.parent)!r})\n"
        "from hostile import Hostile, steps, trouble\n"
        "with Hostile(steps(trouble(404, 'no model any')), port=int(sys.argv[1])):\n    threading.Event().wait()\n"
    )
    began = time.monotonic()
    with pytest.raises(EndpointError, match=r"http_404 \(no model any\).* log "):
        Server(f"{sys.executable} {script} {{port}}", "any", ready_s=60)
    assert time.monotonic() - began < 30


def test_a_server_that_dies_later_is_noticed(tmp_path: Path) -> None:
    server = Server(STAND_IN, "any")
    server.check()
    os.killpg(server._process.pid, signal.SIGTERM)  # the guardian is deaf to it, the server is not
    wait_for(lambda: server._process.poll() is not None)
    with pytest.raises(EndpointError, match=r"the server has ended; log .* exit code -15"):
        server.check()
    server.close()


def test_command_line() -> None:
    template = "serve '{model}' --port {port} --args '{\"a\": {\"b\": 1}}'"
    assert command_line(template, "/my models/x", 81) == [
        "serve",
        "/my models/x",
        "--port",
        "81",
        "--args",
        '{"a": {"b": 1}}',
    ]


@pytest.mark.parametrize(
    ("command", "match"),
    [("vllm serve {model}", r"expected a command with \{port\}"), ("", "expected a command"), ("a '{port}", "quot")],
)
def test_commands_that_are_none(command: str, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        Server(command, "any")
