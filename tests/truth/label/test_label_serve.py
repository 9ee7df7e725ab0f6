"""`jql label` as a process: its addresses, one-line errors, the end."""

import signal
import socket
import urllib.error
import urllib.request

import pytest
from label_help import served, write_run

from jql.errors import InputError, RecipeError
from jql.truth.label.serve import has_screen, listen, run_label
from jql.truth.label.store import Store, ratings_of


def test_served_on_loopback_until_interrupted(tmp_path):
    run = write_run(tmp_path / "run")
    with served(run) as server:
        assert server.rate != server.adjudicate
        for address, script in ((server.rate, "page.js"), (server.adjudicate, "adjudicate.js")):
            assert address.startswith("http://127.0.0.1:")
            assert script in urllib.request.urlopen(address).read().decode()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(server.rate.replace(server.rate.split("/")[3], "guess"))
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=20)
    assert server.told == f"Ratings go to {run}/ratings.sqlite at once. Ctrl-C ends."
    assert (server.process.returncode, out, err) == (0, "stopped\n", "")
    assert ratings_of(run).num_rows == 0


def test_a_port_in_use(tmp_path):
    run = write_run(tmp_path / "run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RecipeError, match=f"port: {port} is in use; choose another, or leave it out"):
            run_label(run, port=port, open_browser=False)
    with pytest.raises(RecipeError, match="expected 0 to 65535, got 65536"):
        listen(65536)
    Store(run).close()  # it was let go


def test_nothing_is_made_where_there_is_no_run(tmp_path):
    with pytest.raises(InputError, match="no such run folder"):
        run_label(str(tmp_path / "nowhere"), open_browser=False)
    assert list(tmp_path.iterdir()) == []


def test_a_browser_needs_a_screen(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_screen()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_screen()
