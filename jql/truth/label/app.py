"""The rating page over HTTP: one application for raters, one for the adjudicator, each behind a token of its own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from jql.errors import InputError, JqlError, one_line
from jql.truth.label.adjudication import AdjudicationView
from jql.truth.label.rating import RatingView
from jql.truth.label.store import StaleError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import Response

PAGE = Path(__file__).resolve().parent / "page"
SHARED = {
    "markdown.js": "text/javascript",
    "parts.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}
"""Files of both pages and their types; what is not named here or in a view is not served."""
DAY_S = 86_400.0

Seconds = Annotated[float, Field(ge=0, le=DAY_S, allow_inf_nan=False)]
Number = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**53)]


class _Sent(BaseModel):
    """`after` is the number of the sender's last event as the page knows it."""

    model_config = ConfigDict(extra="forbid")
    after: Number


class Undo(_Sent):
    """A rater takes back the last."""

    rater: str


class Rate(Undo):
    """A rater's score, and the seconds it took while the page was visible."""

    id: str
    score: Number
    seconds: Seconds


class Skip(Undo):
    """A rater's reason to give no score."""

    id: str
    reason: str
    note: str = ""
    seconds: Seconds


class Decide(_Sent):
    """The adjudicator's score."""

    id: str
    score: Number
    note: str = ""
    seconds: Seconds


class TakeBack(_Sent):
    """The adjudicator takes back the last."""


def answer(value: Any, status: int = 200) -> "Response":
    """JSON in ASCII: a lone surrogate, which UTF-8 has no bytes for, goes as its escape."""
    from fastapi.responses import Response

    body = json.dumps(value, ensure_ascii=True, allow_nan=False).encode("ascii")
    return Response(body, status, media_type="application/json")


def _bare_app(files: dict[str, str]) -> "FastAPI":
    """An application that serves files of the page, its first as the page itself, and explains errors as JSON."""
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import Response
    from starlette.exceptions import HTTPException as AnyHTTPException

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/{name}")
    def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is nothing here")
        return Response((PAGE / name).read_bytes(), media_type=files[name])

    @app.get("/")
    def page() -> Response:
        return file(next(iter(files)))

    @app.exception_handler(AnyHTTPException)
    def refused(request: Request, error: AnyHTTPException) -> Response:
        return answer({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        found = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        return answer({"error": f"malformed request: {found[:300]}"}, 400)

    @app.exception_handler(JqlError)
    def failed(request: Request, error: JqlError) -> Response:
        status = 409 if isinstance(error, StaleError) else 400 if isinstance(error, InputError) else 503
        return answer({"error": one_line(error)}, status)

    return app


def rating_app(view: RatingView) -> "FastAPI":
    """The raters' application: start, state, rate, skip, undo."""
    from fastapi.responses import Response

    app = _bare_app({"index.html": "text/html", "page.js": "text/javascript", **SHARED})

    @app.get("/api/start")
    def start() -> Response:
        return answer(view.start())

    @app.get("/api/state")
    def state(rater: str) -> Response:
        return answer(view.state(rater))

    @app.post("/api/rate")
    def rate(sent: Rate) -> Response:
        return answer(view.rate(sent.rater, sent.id, sent.score, sent.seconds, sent.after))

    @app.post("/api/skip")
    def skip(sent: Skip) -> Response:
        return answer(view.skip(sent.rater, sent.id, sent.reason, sent.note, sent.seconds, sent.after))

    @app.post("/api/undo")
    def undo(sent: Undo) -> Response:
        return answer(view.undo(sent.rater, sent.after))

    return app


def adjudication_app(view: AdjudicationView) -> "FastAPI":
    """The adjudicator's application: start, disputes, document, decide, undo."""
    from fastapi.responses import Response

    app = _bare_app({"adjudicate.html": "text/html", "adjudicate.js": "text/javascript", **SHARED})

    @app.get("/api/start")
    def start() -> Response:
        return answer(view.start())

    @app.get("/api/disputes")
    def disputes(spread: Annotated[int, Field(ge=1)] = 2, majority: bool = True) -> Response:
        return answer(view.disputes(spread, majority))

    @app.get("/api/document")
    def document(id: str) -> Response:
        return answer(view.document(id))

    @app.post("/api/decide")
    def decide(sent: Decide) -> Response:
        return answer(view.decide(sent.id, sent.score, sent.note, sent.seconds, sent.after))

    @app.post("/api/undo")
    def undo(sent: TakeBack) -> Response:
        return answer(view.undo(sent.after))

    return app
