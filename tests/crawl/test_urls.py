"""The URL blocklist: what it drops, and that it opens no connection. Words and hosts are taken from its own lists."""

import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jql.crawl.urls import UrlFilter

NO_NETWORK = """
import socket

def refuse(*arguments):
    raise AssertionError(f"a connection was opened: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse

from jql.crawl.urls import UrlFilter

found = UrlFilter()
print([found.reason(url) for url in ("https://harbour.example/ferry", "http://www.bbc.co.uk/", "https://xvideos.com/a")])
"""


@pytest.fixture(scope="module")
def urls() -> UrlFilter:
    return UrlFilter()


def test_no_connection_is_opened() -> None:
    done = subprocess.run([sys.executable, "-c", NO_NETWORK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[None, None, 'url_domain']"


@pytest.mark.parametrize(
    "url, reason",
    [
        ("https://harbour.example/timetable/ferry-2026.html", None),
        ("https://de.wikipedia.org/wiki/F%C3%A4hre", None),
        ("https://xn--fhre-5qa.example/", None),
        ("https://user:word@harbour.example:8080/a?b=c#d", None),
        ("", None),
        ("https://xvideos.com/", "url_domain"),
        ("https://www.xvideos.com/any/page", "url_domain"),
        ("https://harbour.example/hot-milf-porno/", "url_hard_blacklisted"),
        ("https://harbour.example/a-baby-batter-b", "url_blacklisted_subword"),
        ("http://[::1", None),  # odd, but on no list
        ("http://\ud800.example/", "url_malformed"),
    ],
)
def test_reasons(urls: UrlFilter, url: str, reason: str | None) -> None:
    assert urls.reason(url) == reason


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.builds("http://{}/{}".format, st.text(max_size=30), st.text(max_size=30)))
@example("http://\ud800.example/\udfff")
@example("http://xn--a.example/")
@example("http://xn--.xn--\u0130/")
@example("http://" + "a." * 5000)
@example("http://[fe80::1%25eth0]/")
@example("://///")
@example("\x00")
def test_no_url_is_too_odd(urls: UrlFilter, url: str) -> None:
    reason = urls.reason(url)
    assert reason is None or reason.startswith("url_")
