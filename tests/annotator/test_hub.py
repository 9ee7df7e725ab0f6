"""Push and fetch against a small hub on loopback, which huggingface_hub talks to as it talks to the real one."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from jql.annotator.annotator import FILES, Annotator
from jql.annotator.hub import push_folder
from jql.errors import InputError
from jql.paths import annotators_dir

TOKENS = {"hf_writer": "write", "hf_reader": "read"}
ROOT = Path(__file__).resolve().parents[2]


class Hub(ThreadingHTTPServer):
    """One repository with its commits in memory; `large` is how safetensors come in: "regular" or "lfs"."""

    daemon_threads = True

    def __init__(self, large: str = "regular"):
        super().__init__(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.large = large
        self.private: bool | None = None  # None: the repository is not there yet
        self.commits: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.unknown: list[str] = []

    def commit(self, files: dict[str, bytes]) -> str:
        content = dict(self.commits[self.head]) if self.commits else {}
        content |= files
        sha = hashlib.sha1(repr((len(self.commits), sorted(content.items()))).encode()).hexdigest()
        self.commits[sha] = content
        return sha

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def oid(self, name: str, content: bytes) -> str:
        if self.large == "lfs" and name.endswith(".safetensors"):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Requests(BaseHTTPRequestHandler):
    """The endpoints of the hub that a push and a fetch of a model repository use."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, body: object = b"", status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rights = TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        path = self.path.partition("?")[0]
        hub = self.server
        if path == "/api/repos/create":
            if rights != "write":
                return self.answer({"error": "You don't have the rights to create a model here"}, 403)
            if hub.private is not None:
                return self.answer({"error": "You already created this model repo", "url": f"{hub.url}/lab/edu"}, 409)
            hub.private = json.loads(body).get("visibility", "private") == "private"
            return self.answer({"url": f"{hub.url}/lab/edu", "name": "lab/edu"})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path.startswith("/objects/"):
            hub.objects[path.removeprefix("/objects/")] = body
            return self.answer()
        if not path.startswith(("/api/models/lab/edu", "/lab/edu")) or hub.private is None:
            return self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        if hub.private and rights is None:
            return self.answer({"error": "Invalid username or password."}, 401, X_Error_Code="RepoNotFound")
        if self.command in ("POST", "PUT"):
            return self.write(path, body, rights)
        return self.read(path)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def write(self, path: str, body: bytes, rights: str | None) -> None:
        hub = self.server
        if rights != "write":
            return self.answer({"error": "no rights to write"}, 403)
        if path == "/api/models/lab/edu/preupload/main":
            there = hub.commits[hub.head] if hub.commits else {}
            files = []
            for name in (file["path"] for file in json.loads(body)["files"]):
                mode = hub.large if name.endswith(".safetensors") else "regular"
                oid = hub.oid(name, there[name]) if name in there else None
                files.append({"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
            return self.answer({"files": files})
        if path == "/lab/edu.git/info/lfs/objects/batch":
            objects = [
                {**wanted, "actions": {"upload": {"href": f"{hub.url}/objects/{wanted['oid']}", "header": {}}}}
                for wanted in json.loads(body)["objects"]
            ]
            return self.answer({"transfer": "basic", "objects": objects})
        if path == "/api/models/lab/edu/commit/main":
            files = {}
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.objects[value["oid"]]
            sha = hub.commit(files)
            return self.answer({"success": True, "commitUrl": f"{hub.url}/lab/edu/commit/{sha}", "commitOid": sha})
        return self.lost(path)

    def read(self, path: str) -> None:
        hub = self.server
        if found := re.fullmatch(r"/api/models/lab/edu(/revision/(.+))?", path):
            sha = hub.head if found[2] in (None, "main") else found[2]
            if sha not in hub.commits:
                return self.answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
            return self.answer({"id": "lab/edu", "sha": sha, "private": hub.private, "siblings": []})
        if found := re.fullmatch(r"/api/models/lab/edu/tree/(\w+)", path):
            files = hub.commits[found[1]]
            return self.answer(
                [{"type": "file", "path": n, "size": len(c), "oid": hub.oid(n, c)} for n, c in files.items()]
            )
        if (found := re.fullmatch(r"/lab/edu/resolve/(\w+)/(.+)", path)) and found[2] in hub.commits[found[1]]:
            content = hub.commits[found[1]][found[2]]
            etag = f'"{hub.oid(found[2], content)}"'
            return self.answer(content, ETag=etag, X_Repo_Commit=found[1])
        return self.lost(path)

    def lost(self, path: str) -> None:
        self.server.unknown.append(f"{self.command} {path}")
        self.answer({"error": "no such endpoint"}, 404)


@pytest.fixture(params=["regular"])
def hub(request) -> Iterator[Hub]:
    with Hub(request.param) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()
    assert server.unknown == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(annotators_dir() / "edu", tmp_path / "edu"))
    (copy / "notes.txt").write_text("not part of the annotator")
    (copy / ".env").write_text("HF_TOKEN=hf_secret")
    return copy


def ask(home: Path, url: str, *calls: str, token: str | None = None, **environment: str) -> list[str]:
    """What each call prints, or its error, in a process of its own: huggingface_hub reads the environment on import."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom jql.annotator.hub import *\nfrom jql.errors import *\n"
        "for call in sys.argv[1:]:\n"
        "    try: print(eval(call))\n"
        "    except JqlError as error: print(type(error).__name__, one_line(error))\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith(("HF_", "HUGGING"))}
    clean |= {
        "HF_HOME": str(home),
        "HF_ENDPOINT": url,
        "HF_HUB_DISABLE_XET": "1",  # the content-addressed protocol of the real hub is another server
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        **({"HF_TOKEN": token} if token else {}),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *calls], env=clean, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("hub", ["regular", "lfs"], indirect=True)
def test_what_is_pushed_is_what_is_fetched(hub, folder, tmp_path):
    pushed = f"push_folder(Path({str(folder)!r}), 'lab/edu', token='hf_writer')"
    commit, fetched = ask(tmp_path / "home", hub.url, pushed, "fetch_annotator('lab/edu')", token="hf_reader")
    assert commit == f"{hub.url}/lab/edu/commit/{hub.head}"
    assert hub.private and len(hub.commits) == 1
    assert bool(hub.objects) == (hub.large == "lfs")
    on_hub = hub.commits[hub.head]
    assert set(on_hub) == {*FILES, "README.md"} and on_hub["README.md"] == on_hub["CARD.md"]
    assert sorted(path.name for path in Path(fetched).iterdir()) == sorted(FILES)
    for name in FILES:
        assert (Path(fetched) / name).read_bytes() == (folder / name).read_bytes()
    assert Annotator.load(fetched).revision == Annotator.load(str(folder)).revision


def test_a_revision_stays_and_nothing_new_is_no_commit(hub, folder, tmp_path):
    push = f"push_folder(Path({str(folder)!r}), 'lab/edu', private=False)"
    home = tmp_path / "home"
    first, again = ask(home, hub.url, push, push, token="hf_writer")
    assert first == again and not hub.private
    before = (folder / "CARD.md").read_bytes()
    (folder / "CARD.md").write_text("# Another card\n")
    second, old, new = ask(
        home,
        hub.url,
        push,
        f"fetch_annotator('lab/edu', {first.rsplit('/')[-1]!r}).joinpath('CARD.md').read_bytes()",
        "fetch_annotator('lab/edu', 'main').joinpath('CARD.md').read_bytes()",
        token="hf_writer",
    )
    assert second != first and len(hub.commits) == 2
    assert (old, new) == (repr(before), repr(b"# Another card\n"))
    assert hub.commits[hub.head]["README.md"] == b"# Another card\n"


def test_what_cannot_be_had_says_what_to_do(hub, folder, tmp_path):
    home = tmp_path / "home"
    fetch = "fetch_annotator('lab/edu')"
    (absent,) = ask(home, hub.url, fetch)
    assert re.match(r"InputError annotator 'lab/edu', revision main: cannot be fetched.*hf auth login", absent)
    hub.private = True
    hub.commit({"annotator.json": b"{}", "model.bin": b"x"})
    hidden, malformed = ask(home, hub.url, fetch, "fetch_annotator('lab/edu/more')")
    assert re.match(r"InputError .*cannot be fetched.*log in if it is private", hidden)
    assert re.match(r"InputError .*cannot be fetched.*check the name \(owner/name\)", malformed)
    partial, revision = ask(home, hub.url, fetch, "fetch_annotator('lab/edu', 'v2')", token="hf_reader")
    assert re.match(r"InputError .*not a whole annotator, heads\.safetensors, .* missing in it; name a", partial)
    assert re.match(r"InputError .*revision v2: cannot be fetched.*check .* the revision", revision)
    push = f"push_folder(Path({str(folder)!r}), 'lab/edu')"
    (refused,) = ask(home, hub.url, push, token="hf_reader")
    assert re.match(r"OutputError .*edu: not pushed to 'lab/edu'.*token that may write there", refused)
    assert len(hub.commits) == 1


def test_offline_the_cache_is_used_or_the_way_to_it_named(hub, folder, tmp_path):
    push, fetch = f"push_folder(Path({str(folder)!r}), 'lab/edu')", "fetch_annotator('lab/edu')"
    _, fetched = ask(tmp_path / "home", hub.url, push, fetch, token="hf_writer")
    closed, other = "http://127.0.0.1:9", "fetch_annotator('lab/other')"
    cached, unreached = ask(tmp_path / "home", closed, fetch, other)
    assert cached == fetched
    assert re.match(
        r"InputError .*not in the cache .*/home/hub, and http://127\.0\.0\.1:9 is not reached; fetch", unreached
    )
    cached, offline, unpushed = ask(tmp_path / "home", closed, fetch, other, push, HF_HUB_OFFLINE="1")
    assert cached == fetched
    assert re.match(r"InputError .*is not reached \(HF_HUB_OFFLINE is set\); fetch it once", offline)
    assert re.match(r"OutputError .*not pushed.*network", unpushed)


def test_a_folder_that_is_no_annotator_is_not_pushed(folder):
    (folder / "heads.safetensors").unlink()
    with pytest.raises(InputError, match=r"edu: not a whole annotator, heads\.safetensors missing; name"):
        push_folder(folder, "lab/edu")
