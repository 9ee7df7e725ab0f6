"""Transformer encoders on tiny real checkpoints: equal to a plain forward pass, whatever the batch and the text."""

from dataclasses import replace

import numpy as np
import pytest
from encoder_help import (
    HARD,
    TEXTS,
    WORDS,
    spec_of,
    torch,
    transformers,
)

from jql.encoder.encoder import EncoderSpec, folder_revision, load_encoder
from jql.engine import storage
from jql.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("one_thread")


def hidden_states(folder, text, max_tokens=64):
    """Token vectors (T, D) of one text, by transformers alone."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer([text], truncation=True, max_length=max_tokens, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return model(input_ids=ids).last_hidden_state[0].numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_encode_equals_a_plain_forward_of_each_text(gte, pooling):
    vectors = load_encoder(spec_of(gte, pooling=pooling)).encode(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), 32)
    for text, vector in zip(TEXTS, vectors, strict=True):
        states = hidden_states(gte, text)
        assert np.allclose(vector, {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling], atol=1e-5)


def test_vectors_do_not_depend_on_batch_or_order(gte, monkeypatch):
    encoder = load_encoder(spec_of(gte, normalise=True))
    texts = [*HARD, *TEXTS]
    whole = encoder.encode(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    assert np.allclose(encoder.encode([texts[i] for i in order]), whole[order], atol=1e-5)
    assert np.allclose(np.concatenate([encoder.encode([text]) for text in texts]), whole, atol=1e-5)
    encoder.budget = 100
    assert np.allclose(encoder.encode(texts), whole, atol=1e-5)
    assert encoder.encode([]).shape == (0, 32)


def test_any_text_gets_a_finite_vector(gte, bert, static):
    specs = [
        spec_of(gte),
        spec_of(gte, pooling="mean", long="all"),
        spec_of(gte, dtype="float16", long="head+middle+tail"),
        spec_of(bert, kind="sentence-transformers", pooling="mean", dim=16),
        spec_of(static, kind="sentence-transformers", pooling="mean", dim=24, long="all"),
    ]
    texts = [*HARD, " ".join(WORDS * 5000)]
    for spec in specs:
        encoder = load_encoder(spec)
        vectors = encoder.encode(texts)
        assert vectors.dtype == np.float32 and vectors.shape == (len(texts), spec.dim) and np.isfinite(vectors).all()
        assert encoder.zeroed == 0
    assert not vectors[0].any()  # no tokens and no special ones


def test_a_vector_that_is_not_finite_becomes_zeros_and_is_counted(gte):
    encoder = load_encoder(spec_of(gte, normalise=True))
    with torch.inference_mode():
        rare = encoder._model.tokenize(["river"])[0][0]
        encoder._model._net.embeddings.word_embeddings.weight[rare] = torch.nan
    vectors = encoder.encode(["light", "river"])
    assert np.isclose(np.linalg.norm(vectors[0]), 1) and not vectors[1].any()
    assert encoder.zeroed == 1


def test_normalised_rows_have_length_one(gte):
    plain, unit = (load_encoder(spec_of(gte, normalise=on)).encode(TEXTS) for on in (False, True))
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    assert np.allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)


def test_bfloat16_is_close_to_float32(gte, bert):
    for spec in [spec_of(gte), spec_of(bert, kind="sentence-transformers", pooling="mean", dim=16)]:
        exact, rough = (
            load_encoder(replace(spec, normalise=True, dtype=d)).encode(TEXTS) for d in ("float32", "bfloat16")
        )
        assert not np.array_equal(exact, rough)
        assert (exact * rough).sum(axis=1).min() > 0.995


def test_the_prompt_stands_before_the_text(gte):
    prompted = load_encoder(spec_of(gte, prompt="school reads: ")).encode(TEXTS[:3])
    assert np.allclose(
        prompted, load_encoder(spec_of(gte)).encode(["school reads: " + t for t in TEXTS[:3]]), atol=1e-6
    )


def chunk_reference(folder, encoder, pieces, prompt=()):
    """CLS vectors of pieces of token ids, each alone, weighted by its tokens."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    vectors = []
    for n, piece in enumerate(pieces):
        ids = [0, *(prompt if n else []), *piece, 2]
        with torch.inference_mode():
            vectors.append(model(input_ids=torch.tensor([ids])).last_hidden_state[0, 0].numpy())
    return np.average(vectors, axis=0, weights=[len(piece) for piece in pieces])


@pytest.mark.parametrize("prompt", ["", "school: "])
def test_long_documents_are_pooled_over_their_chunks(gte, prompt):
    text = " ".join(WORDS * 20)
    encoder = load_encoder(spec_of(gte, long="all", max_tokens=60, prompt=prompt))
    ids = encoder._model.tokenize([prompt + text])[0]
    asked = encoder._model.tokenize([prompt])[0] if prompt else []
    room = 58 - len(asked)
    pieces = [ids[i : i + room] for i in range(0, len(ids), room)]
    assert len(pieces) > 3
    assert np.allclose(encoder.encode([text])[0], chunk_reference(gte, encoder, pieces, asked), atol=1e-5)

    encoder = load_encoder(spec_of(gte, long="head+middle+tail", max_tokens=60, prompt=prompt))
    room = 18 - len(asked)
    middle = (len(ids) - room) // 2
    pieces = [ids[:room], ids[middle : middle + room], ids[-room:]]
    assert np.allclose(encoder.encode([text])[0], chunk_reference(gte, encoder, pieces, asked), atol=1e-5)


def test_a_document_that_fits_is_the_same_in_every_mode(gte):
    truncated, *others = (
        load_encoder(spec_of(gte, long=long, max_tokens=2000, prompt="a ")).encode(TEXTS)
        for long in ("truncate", "head+middle+tail", "all")
    )
    for vectors in others:
        assert np.allclose(vectors, truncated, atol=1e-6)


def test_the_spec_of_a_loaded_encoder_is_pinned_and_holds(gte):
    encoder = load_encoder(spec_of(gte))
    assert encoder.spec.revision == folder_revision(gte)
    again = load_encoder(EncoderSpec.from_json(encoder.spec.to_json(), "x"))
    assert again.spec == encoder.spec and np.array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    with pytest.raises(DataError, match=r"content has the hash .*, expected 0123; copy the folder again"):
        load_encoder(replace(encoder.spec, revision="0123"))


def test_what_the_model_does_not_fit_is_refused(gte, bert):
    with pytest.raises(DataError, match="dim: the model's is 32, got 768; write the model's"):
        load_encoder(spec_of(gte, dim=768))
    with pytest.raises(DataError, match="max_tokens: the model reads 4096 tokens, got 5000; write 4096 or less"):
        load_encoder(spec_of(gte, max_tokens=5000))
    with pytest.raises(DataError, match="max_tokens: the model reads 64 tokens, got 65"):
        load_encoder(spec_of(bert, kind="sentence-transformers", pooling="mean", dim=16, max_tokens=65))
    with pytest.raises(DataError, match="pooling: the model's is 'mean', got 'cls'"):
        load_encoder(spec_of(bert, kind="sentence-transformers", dim=16))
    with pytest.raises(DataError, match="max_tokens: chunks of 2 tokens leave no room"):
        load_encoder(spec_of(gte, max_tokens=8, long="head+middle+tail"))


def test_weights_that_are_not_finite_are_refused(alibaba):
    from safetensors.torch import load_file, save_file

    state = load_file(alibaba / "model.safetensors")
    state["new.embeddings.LayerNorm.weight"][0] = torch.nan
    save_file(state, alibaba / "model.safetensors")
    with pytest.raises(
        DataError, match="the vector of the text 'a' is not finite; use dtype float32 or fetch it again"
    ):
        load_encoder(spec_of(alibaba))


def test_a_model_that_is_nowhere_is_named(tmp_path):
    for kind in ("transformer", "sentence-transformers"):
        with pytest.raises(
            InputError, match=r"encoder no/such: cannot be loaded .*expected a whole model folder or the id of"
        ):
            load_encoder(spec_of("no/such", kind=kind))


def test_a_remote_model_is_fetched_to_the_node(gte, s3):
    for file in sorted(gte.iterdir()):
        storage.put(f"{s3}/models/gte/{file.name}", file.read_bytes())
    remote, here = load_encoder(spec_of(f"{s3}/models/gte")), load_encoder(spec_of(gte))
    assert remote.spec == replace(here.spec, model=f"{s3}/models/gte")
    assert np.array_equal(remote.encode(TEXTS), here.encode(TEXTS))
    with pytest.raises(InputError, match=r"encoder s3://jql-test/models/none: nothing there; check the address"):
        load_encoder(spec_of(f"{s3}/models/none"))
