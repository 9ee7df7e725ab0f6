"""Encoders by name: in the box, of the paper, a static folder, or any sentence-transformers model."""

from dataclasses import replace

import numpy as np
import pytest
from encoder_help import TEXTS, save_bert, save_static, train_tokenizer
from static_help import small_encoder

from jql.encoder.encoder import NAMED, load_encoder
from jql.encoder.named import encoder_spec
from jql.encoder.static import static_spec
from jql.errors import InputError


def test_the_encoder_in_the_box_and_those_of_the_paper():
    assert encoder_spec("multilingual-static") == static_spec("multilingual-static")
    assert encoder_spec("multilingual-static", "all") == replace(static_spec("multilingual-static"), long="all")
    for name, spec in NAMED.items():
        assert encoder_spec(name) == spec
        assert encoder_spec(name, "head+middle+tail") == replace(spec, long="head+middle+tail")


def test_static_folders_are_read_without_sentence_transformers(tmp_path):
    spec, _ = small_encoder(tmp_path / "ours")
    assert encoder_spec(str(tmp_path / "ours")) == spec and spec.kind == "static"
    theirs = encoder_spec(str(save_static(train_tokenizer(), tmp_path / "theirs")), "all")
    assert (theirs.kind, theirs.dim, theirs.long) == ("static", 24, "all")
    assert np.allclose(np.linalg.norm(load_encoder(theirs).encode(TEXTS), axis=1), 1)


def test_a_sentence_transformers_folder_says_its_own_pooling_and_size(tmp_path):
    folder = save_bert(train_tokenizer(), tmp_path)
    spec = encoder_spec(str(folder), "all")
    assert (spec.kind, spec.pooling, spec.dim, spec.max_tokens, spec.long, spec.normalise) == (
        "sentence-transformers",
        "mean",
        16,
        64,
        "all",
        True,
    )
    encoder = load_encoder(spec)
    assert encoder.encode(TEXTS).shape == (len(TEXTS), 16) and encoder.spec.revision


@pytest.mark.parametrize("mode", ["cls", "lasttoken", "mean"])
def test_pooling_is_taken_from_the_model(tmp_path, mode):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    save_bert(train_tokenizer(), tmp_path)
    modules = [Transformer(str(tmp_path / "plain")), Pooling(32, mode)]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / mode))
    spec = encoder_spec(str(tmp_path / mode))
    assert (spec.pooling, spec.dim) == ({"lasttoken": "last"}.get(mode, mode), 32)
    assert load_encoder(spec).encode(TEXTS[:2]).shape == (2, 32)


def test_a_name_that_is_none_of_these(tmp_path):
    with pytest.raises(InputError, match=r"'bert': not one that jql knows \(multilingual-static, snowflake.*jina"):
        encoder_spec("bert")
    with pytest.raises(InputError, match=r"encoder no/such: cannot be loaded as a sentence-transformers model"):
        encoder_spec("no/such")
    with pytest.raises(InputError, match=r"cannot be loaded as a sentence-transformers model"):
        encoder_spec(str(tmp_path))
