"""The terms of asking: addresses."""

import pytest

from jql.errors import RecipeError
from jql.llm.chat import Endpoint


@pytest.mark.parametrize("url", ["https://me:secret@gate.example/v1", "https://gate.example/v1?api-key=secret"])
def test_secrets_in_the_address_are_refused_and_not_said(url: str) -> None:
    with pytest.raises(RecipeError, match=r"https://gate\.example/v1 .* variable MY_KEY") as caught:
        Endpoint(url, "tiny", key_env="MY_KEY")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "127.0.0.1:8000", "http://", "", "ftp://a.example/v1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(RecipeError, match=r"expected http://\.\.\. or https://\.\.\., got"):
        Endpoint(url, "tiny")
