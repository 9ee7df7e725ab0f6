"""Translated documents without labels: which lines they are made of, and that translations come to score alike."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WORDS

from jql.annotator.features import Features
from jql.annotator.train_heads import HeadSettings, JudgedFeatures, fit_heads
from jql.annotator.translations import translated_documents, translated_features
from jql.encoder.encoder import load_encoder
from jql.encoder.named import encoder_spec
from jql.encoder.parallel_text import HELD_OUT
from jql.errors import InputError

CIPHERS = {"deu_Latn": str.maketrans("abcdefghijklmnopqrstuvwxyz", "bcdfghjklmnpqrstvwxyzaeiou"), "fra_Latn": {}}


def write(folder, ntrex=HELD_OUT + 12, tatoeba=30):
    draw = np.random.default_rng(0)
    lines = [" ".join(draw.choice(WORDS, 8)) for _ in range(ntrex + tatoeba)]
    folder.mkdir()
    for language, cipher in CIPHERS.items():
        rows = [
            {"source": "ntrex" if i < ntrex else "tatoeba", "english": line, "translation": line.translate(cipher)}
            for i, line in enumerate(lines)
        ]
        rows.append({"source": "osm", "english": "a street", "translation": "a street"})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{language}.parquet")
    return lines


def test_documents_are_runs_of_lines_and_never_of_the_last_of_ntrex(tmp_path):
    lines = write(tmp_path / "p")
    pairs = translated_documents(tmp_path / "p", (), 0)
    assert len(pairs) == 2 * (3 + 3)
    assert pairs[0][0] == "\n".join(lines[:5]) and pairs[2][0] == "\n".join(lines[10:12])
    used = {line for english, _ in pairs for line in english.split("\n")}
    assert not used & set(lines[12 : HELD_OUT + 12]) and "a street" not in used
    assert all(t == e.translate(CIPHERS["deu_Latn"]) for e, t in pairs[:6])
    assert translated_documents(tmp_path / "p", ("deu_Latn",), 0) == pairs[6:]


def test_an_english_side_counts_once(tmp_path):
    write(tmp_path / "p")
    pairs = translated_documents(tmp_path / "p", (), 0)
    found = translated_features(pairs, Features(), load_encoder(encoder_spec("multilingual-static")))
    assert len(found.dense_ED) == found.english_EV.shape[0] == len({e for e, _ in pairs}) == 6
    assert found.translation_PV.shape[0] == len(found.english_P) == 12
    np.testing.assert_array_equal(found.english_P[:6], found.english_P[6:])
    same = found.translation_PV[6:] - found.english_EV[found.english_P[6:]]  # fra_Latn is English here
    assert abs(same).max() == 0


def test_the_ngram_term_learns_to_score_translations_alike(tmp_path):
    """Judged in English only, spelling says nothing of the cipher until its translations are seen."""
    write(tmp_path / "p", HELD_OUT + 600, 0)
    features, encoder = Features(surface=False), load_encoder(encoder_spec("multilingual-static"))
    pairs = translated_documents(tmp_path / "p", ("fra_Latn",), 0)
    fitted, held = pairs[:90], pairs[90:]
    draw = np.random.default_rng(1)
    texts = ["\n".join(" ".join(draw.choice(WORDS, 8)) for _ in range(5)) for _ in range(400)]
    labels = np.array([sum(text.count(word) for word in WORDS[:8]) for text in texts], float)
    dense, grams = features.of(texts, encoder)
    judged = JudgedFeatures(["a"], dense, grams, labels, np.zeros(400, int), np.array(["eng_Latn"] * 400, object))
    settings = HeadSettings(hidden=32, epochs=10, learning_rate=5e-3, batch=64, ngram_share=0.99)

    def likeness(translated):
        heads, _ = fit_heads(judged, None, settings, [10], translated)
        english, other = (heads.points(*features.of([p[side] for p in held], encoder))[:, 0] for side in (0, 1))
        return np.corrcoef(english, other)[0, 1]

    without, with_it = likeness(None), likeness(translated_features(fitted, features, encoder))
    assert with_it > without + 0.2, (without, with_it)


def test_what_is_no_parallel_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="no Parquet files, expected one a language"):
        translated_documents(tmp_path, (), 0)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "deu_Latn.parquet")
    with pytest.raises(InputError, match=r"deu_Latn\.parquet: expected the columns source, english, translation"):
        translated_documents(tmp_path, (), 0)
