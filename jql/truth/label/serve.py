"""`jql label RUN`: the rating page on this machine's loopback address, until Ctrl-C."""

import errno
import os
import socket
import sys
import webbrowser

import typer

from jql.errors import RecipeError
from jql.truth.label.adjudication import AdjudicationView
from jql.truth.label.app import adjudication_app, rating_app
from jql.truth.label.folder import load_folder
from jql.truth.label.guard import Guard, new_token
from jql.truth.label.rating import RatingView
from jql.truth.label.store import FILE, Store

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one.

    Raises:
        RecipeError: the port is in use, not allowed, or no port.
    """
    if not 0 <= port <= 65535:
        raise RecipeError(f"port: expected 0 to 65535, got {port}; leave it out to take a free one")
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the same port again right after a stop
    try:
        server.bind((HOST, port))
        server.listen(128)
    except OSError as error:
        server.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise RecipeError(f"port: {port} {why}; choose another, or leave it out to take a free one") from None
    return server


def has_screen() -> bool:
    """Whether a browser would open in a window; without one, Python may start a browser in the terminal."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def run_label(run: str, port: int = 0, open_browser: bool = True, rater: str | None = None) -> None:
    """Serve the rating page of a run folder until Ctrl-C, and print its addresses; each holds a secret of this start.

    Args:
        rater: the only one to rate here; without it, raters choose their name on the page.

    Raises:
        InputError: no such run folder, or something is missing in it, or nothing is assigned to the rater.
        RecipeError: the rubric is wrong, the port is in use, or the extra `label` is not installed.
        DataError: a table or ratings.sqlite cannot be read. LockError: another program locks ratings.sqlite.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise RecipeError(f"label: {error.name} is not installed; pip install 'jql[label]'") from None
    folder = load_folder(run)
    store = Store(run)
    try:
        view = RatingView(folder, store, rater)
        with listen(port) as server:
            port = server.getsockname()[1]
            rate, adjudicate = new_token(), new_token()
            app = Guard({rate: rating_app(view), adjudicate: adjudication_app(AdjudicationView(folder, store))}, port)
            address = f"http://{HOST}:{port}/{rate}/"
            typer.echo(f"rate:        {address}")
            typer.echo(f"adjudicate:  http://{HOST}:{port}/{adjudicate}/")
            typer.echo(f"Ratings go to {os.path.join(run, FILE)} at once. Ctrl-C ends.")
            if open_browser and has_screen():
                webbrowser.open(address)
            # No access log: its lines would hold the tokens.
            config = uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
            uvicorn.Server(config).run(sockets=[server])
    except KeyboardInterrupt:  # not always: an interrupt may end the server's loop without leaving it
        pass
    finally:
        store.close()
    typer.echo("stopped")
