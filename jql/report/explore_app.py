"""`jql explore RUN`: the report's page on this machine's loopback address, with cuts to be moved, until Ctrl-C."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field

from jql.errors import JqlError, RecipeError, one_line
from jql.report.explore import Explorer
from jql.report.page import asset, plotly_script
from jql.truth.label.app import answer
from jql.truth.label.guard import Guard, new_token
from jql.truth.label.serve import HOST, has_screen, listen

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "explore.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""Files beside the page; Plotly's script comes from its package."""

Quantile = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class Move(BaseModel):
    """Where cuts were moved to."""

    model_config = ConfigDict(extra="forbid")
    moved: dict[str, Quantile]


class Look(Move):
    """The same, and the language that is looked at."""

    language: str


def explore_app(explorer: Explorer) -> "FastAPI":
    """The page, and what it asks: yields, passages, write."""
    from fastapi.responses import Response

    texts = {name: (asset(name), kind) for name, kind in FILES.items()}
    app = _bare_app({"": (explorer.html(), "text/html"), "plotly.js": (plotly_script(), "text/javascript"), **texts})

    @app.post("/api/yields")
    def yields(sent: Move) -> Response:
        return answer(explorer.yields(sent.moved))

    @app.post("/api/passages")
    def passages(sent: Look) -> Response:
        return answer(explorer.around(sent.moved, sent.language))

    @app.post("/api/write")
    def write(sent: Move) -> Response:
        return answer(explorer.write(sent.moved))

    return app


def _bare_app(files: Mapping[str, tuple[str, str]]) -> "FastAPI":
    """An application that serves files, name -> content and type, and explains errors as JSON."""
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import Response
    from starlette.exceptions import HTTPException as AnyHTTPException

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    contents = {name: (content.encode(), kind) for name, (content, kind) in files.items()}

    @app.get("/{name}")
    def file(name: str) -> Response:
        if name not in contents:
            raise HTTPException(404, "there is nothing here")
        content, kind = contents[name]
        return Response(content, media_type=kind)

    @app.get("/")
    def page() -> Response:
        return file("")

    @app.exception_handler(AnyHTTPException)
    def refused(request: Request, error: AnyHTTPException) -> Response:
        return answer({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        found = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        return answer({"error": f"malformed request: {found[:300]}"}, 400)

    @app.exception_handler(JqlError)
    def failed(request: Request, error: JqlError) -> Response:
        return answer({"error": one_line(error)}, 400 if isinstance(error, RecipeError) else 503)

    return app


def make_server(app: Guard) -> "uvicorn.Server":
    """The server of the page; without an access log, whose lines would hold the token."""
    import uvicorn

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
    return uvicorn.Server(config)


def run_explore(run: str, port: int = 0, open_browser: bool = True) -> None:
    """Serve the page of a run folder until Ctrl-C, and print its address, which holds a secret of this start.

    Raises:
        InputError: no run has ended in the folder, or nothing was cut by scores. DataError: a file cannot be read.
        RecipeError: the port is in use, or the extra `report` is not installed.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise RecipeError(f"explore: {error.name} is not installed; pip install 'jql[report]'") from None
    import webbrowser

    app = explore_app(Explorer(run))
    try:
        with listen(port) as server:
            port = server.getsockname()[1]
            token = new_token()
            address = f"http://{HOST}:{port}/{token}/"
            typer.echo(f"explore:  {address}")
            typer.echo("Nothing is decided here. Ctrl-C ends.")
            if open_browser and has_screen():
                webbrowser.open(address)
            make_server(Guard({token: app}, port)).run(sockets=[server])
    except KeyboardInterrupt:  # not always: an interrupt may end the server's loop without leaving it
        pass
    typer.echo("stopped")
