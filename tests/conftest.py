"""What tests share: one Ray for the whole session, a real S3 server on loopback, small real inputs, byte comparison."""

import hashlib
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The machine is shared, so no deadline; in CI the examples are always the same.
settings.register_profile("jql", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("jql")

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

ROOT = Path(__file__).resolve().parent.parent

# Where the environment wants no bytecode beside sources, each process that a test starts, and each of Ray's workers,
# would compile all that it imports anew: `import jql.cli, ray` takes 1.9 s so and 0.6 s with it. It goes into a folder
# of its own.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(ROOT / ".pytest_cache" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

SHARED = ROOT.parent / "shared" / "data"

WORDS = [
    "river",
    "stone",
    "light",
    "energy",
    "number",
    "school",
    "history",
    "music",
    "market",
    "garden",
    "island",
    "winter",
    "bridge",
    "engine",
    "paper",
    "forest",
    "lake",
]
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In two processes (make test) a file's tests stay together, and all files that use Ray: one Ray for the session."""
    with_ray = {item.path for item in items if "ray_address" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("ray" if item.path in with_ray else item.nodeid.split("::")[0]))


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """Address of the one Ray of this test session; 4 logical CPUs, so that a dying actor's successor finds room."""
    import ray

    started = ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="warning")
    yield str(started.address_info["gcs_address"])
    ray.shutdown()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """An s3:// bucket on a real S3 server (moto) on loopback; fsspec is pointed at it for the session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    import fsspec
    import s3fs

    fsspec.config.conf["s3"] = {"endpoint_url": environment["FSSPEC_S3_ENDPOINT_URL"]}
    deadline = time.monotonic() + 30
    while True:
        try:
            s3fs.S3FileSystem().mkdir("jql-test")
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    yield "s3://jql-test"
    server.terminate()
    server.wait(10)
    fsspec.config.conf.pop("s3", None)
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch: on two cores that others share, more of them wait for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Tiny checkpoints for the encoder's tests; encoder_help imports torch, so it is imported only where they are used.


@pytest.fixture(scope="module")
def tokenizer():
    from encoder_help import train_tokenizer

    return train_tokenizer()


@pytest.fixture(scope="module")
def gte(tokenizer, tmp_path_factory) -> Path:
    from encoder_help import save_gte

    return save_gte(tokenizer, tmp_path_factory.mktemp("gte"))


@pytest.fixture
def alibaba(gte, tokenizer, tmp_path) -> Path:
    from encoder_help import save_alibaba

    return save_alibaba(gte, tokenizer, tmp_path)


@pytest.fixture(scope="module")
def bert(tokenizer, tmp_path_factory) -> Path:
    from encoder_help import save_bert

    return save_bert(tokenizer, tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def static(tokenizer, tmp_path_factory) -> Path:
    from encoder_help import save_static

    return save_static(tokenizer, tmp_path_factory.mktemp("static"))


def run_here(*arguments: str, folder: Path = ROOT) -> int:
    """The exit code of a `jql` command in this process, which spares the start of another."""
    from jql.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["jql", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def table_bytes(run: Path) -> dict[str, str]:
    """Stage and unit -> SHA-256 of every committed table of a run folder: what must be equal whatever went wrong on the way."""
    import json

    found = {}
    for receipt in sorted(run.glob("**/receipts/**/*.json")):
        record = json.loads(receipt.read_text())
        stage = receipt.relative_to(run).parts
        for name, file in record["files"].items():
            path = run.joinpath(*stage[: stage.index("receipts")], file["path"])
            found["/".join([*stage[: stage.index("receipts")], stage[-2], stage[-1], name])] = hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
    return found


def write_warc(path: Path, pages: list[tuple[str, bytes]], compress: bool = True) -> Path:
    """A WARC file of (url, html) responses."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    with path.open("wb") as out:
        writer = WARCWriter(out, gzip=compress)
        for url, body in pages:
            http = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], "HTTP/1.1")
            writer.write_record(writer.create_warc_record(url, "response", io.BytesIO(body), http_headers=http))
    return path
