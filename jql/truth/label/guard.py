"""Who may ask the rating page, and what is sent with every answer."""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

BODY_LIMIT = 16_384  # bytes; the longest answer is a note of 1,000 characters
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Sent with every answer. Trusted types make the browser refuse to turn any string into markup, ours included."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def new_token() -> str:
    """A secret for an address: 192 random bits, 32 characters."""
    return secrets.token_urlsafe(24)


class Guard:
    """Lets a request through to the application of its token, the first part of its path, which is then taken off.

    Only requests to this server by its loopback names, from its own pages and of a sane size: a page elsewhere whose
    name is made to point to this machine (DNS rebinding) asks with its own name as the host. Refusals are JSON with
    `error`.
    """

    def __init__(self, apps: Mapping[str, Application], port: int) -> None:
        self.apps = {token.encode(): app for token, app in apps.items()}
        end = "" if port == 80 else f":{port}"  # browsers leave out the port of http
        self.hosts = {f"{name}{end}".encode() for name in ("127.0.0.1", "localhost")}
        self.origins = {b"http://" + host for host in self.hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *ours]}
            await send(message)

        token, slash, rest = scope["path"].removeprefix("/").partition("/")
        app = self._app(token)
        status, why = self._refusal(scope)
        if app is None and not why:
            status, why = 403, "this address is not, or no longer, valid; open the one that was printed"
        if app is not None and not why and slash:
            inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode("utf-8", "replace"), "root_path": ""}
            await app(inner, receive, send_guarded)
            return
        headers = [(b"content-type", b"application/json")]
        if not why:  # the address without its last slash
            status, why = 307, "the address ends in a slash"
            headers.append((b"location", f"/{token}/".encode("ascii")))
        await send_guarded({"type": "http.response.start", "status": status, "headers": headers})
        await send_guarded({"type": "http.response.body", "body": json.dumps({"error": why}).encode()})

    def _app(self, given: str) -> Application | None:
        """The application of a token; all are compared, each in constant time, so that time tells nothing of them."""
        sent, found = given.encode("utf-8", "replace"), None
        for token, app in self.apps.items():
            if secrets.compare_digest(sent, token):
                found = app
        return found

    def _refusal(self, scope: Message) -> tuple[int, str]:
        sent: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            sent.setdefault(name, []).append(value)
        host = sent.get(b"host", [])
        if len(host) != 1 or host[0].lower() not in self.hosts:
            return 403, "host: open the address that was printed; through ssh, use the same port on both sides"
        if any(origin not in self.origins for origin in sent.get(b"origin", [])):
            return 403, "origin: only the page's own scripts may ask"
        if scope["method"] == "POST":
            length = sent.get(b"content-length", [b""])[0]
            if not length.isdigit() or int(length) > BODY_LIMIT:
                return 413, f"body: expected at most {BODY_LIMIT} bytes, and their number in the header"
            if sent.get(b"content-type", [b""])[0].split(b";")[0].strip() != b"application/json":
                return 415, "body: expected application/json"
        return 200, ""
