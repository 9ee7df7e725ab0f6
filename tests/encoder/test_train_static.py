"""Training of static encoders on three ciphers of English: it learns to find translations, the same from a seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoder_help import save_bert, train_tokenizer
from static_help import ALPHABETS, WORDS, english_lines, in_cipher, write_corpus

from jql.encoder.parallel_text import PAGE_BREAK, ParallelText, halves, read_parallel_text
from jql.encoder.retrieval import retrieval
from jql.encoder.static import StaticEncoder, save_static, static_spec
from jql.encoder.train_static import MAX_TOKENS, Training, teacher_vectors, token_ids, train_static
from jql.encoder.vocabulary import PAGES_A_LANGUAGE, train_vocabulary, vocabulary_texts

SMALL = Training(vocabulary=2000, dim=32, epochs=6, batch=128, document_batch=64)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> ParallelText:
    return read_parallel_text(write_corpus(tmp_path_factory.mktemp("parallel")))


@pytest.fixture
def tokenizer(text):
    return train_vocabulary(vocabulary_texts(text, None), SMALL.vocabulary)


def quiet(*_: object) -> None:
    pass


def encoder_of(folder: Path, tokenizer, vectors: np.ndarray) -> StaticEncoder:
    save_static(folder, tokenizer, vectors)
    return StaticEncoder(static_spec(str(folder)))


def test_translations_are_found_after_training_and_not_before(text, tokenizer, tmp_path):
    untrained = train_static(text, None, tokenizer, None, replace(SMALL, learning_rate=0.0), quiet)
    before = retrieval(encoder_of(tmp_path / "before", tokenizer, untrained).encode, text.held_out)
    trained = train_static(text, None, tokenizer, None, SMALL, quiet)
    assert trained.dtype == np.float32 and trained.shape == (tokenizer.get_vocab_size(), SMALL.dim)
    after = retrieval(encoder_of(tmp_path / "after", tokenizer, trained).encode, text.held_out)
    assert before.keys() == after.keys() == ALPHABETS.keys()
    assert max(before.values()) < 0.02 and min(after.values()) > 0.8  # chance is 1 in 500


def test_the_seed_decides_the_vectors(text, tokenizer):
    short = replace(SMALL, epochs=0.5)
    first, again, other = (
        train_static(text, None, tokenizer, None, replace(short, seed=seed), quiet) for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=0.01)


def test_losses_are_reported_and_only_those_that_there_is_text_for(text, tokenizer):
    told = []
    train_static(text, None, tokenizer, None, replace(SMALL, epochs=4), lambda *words: told.append(words))
    steps = int(4 * 3600 / SMALL.batch)
    assert [where for where, _ in told] == [f"step 100/{steps}", f"step {steps}/{steps}"]
    assert all(losses.keys() == {"pairs", "documents"} for _, losses in told)
    told.clear()
    alone = replace_documents(text)
    train_static(alone, None, tokenizer, None, replace(SMALL, epochs=0.01), lambda *words: told.append(words))
    assert [(where, list(losses)) for where, losses in told] == [("step 1/1", ["pairs"])]


def replace_documents(text: ParallelText) -> ParallelText:
    return ParallelText(text.english, text.translation, text.weight, [], text.held_out)


def test_a_pair_of_weight_zero_is_never_drawn(text, tokenizer):
    """Vectors of its words stay as they were before the training."""
    strange = ParallelText(["qqq"], ["www"], [0.0], [], {})
    both = replace_documents(text)
    both = ParallelText(
        both.english + strange.english, both.translation + strange.translation, [*both.weight, 0.0], [], {}
    )
    start = train_static(both, None, tokenizer, None, replace(SMALL, learning_rate=0.0), quiet)
    end = train_static(both, None, tokenizer, None, replace(SMALL, epochs=1), quiet)
    used = {i for ids in token_ids(tokenizer, [*text.english, *text.translation]) for i in ids}
    only = {i for ids in token_ids(tokenizer, ["qqq", "www"]) for i in ids} - used
    moved = set(np.flatnonzero((start != end).any(axis=1)))
    assert moved and moved <= used and not moved & only


def test_distillation_brings_vectors_to_the_teacher_s(text, tokenizer, tmp_path):
    """The teacher sees three things of a sentence; a linear map finds them in the trained vectors of unseen lines."""
    meaning = dict(zip(WORDS, np.random.default_rng(1).normal(size=(len(WORDS), 3)), strict=True))

    def taught(lines: list[str]) -> np.ndarray:
        sums = np.array([sum(meaning[word] for word in line.split()) for line in lines])
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)

    distinct = sorted(set(text.english))
    rows = np.array([distinct.index(line) for line in text.english])
    teacher = taught(distinct).astype(np.float16), rows
    lines = english_lines(300, seed=77)
    cosine, losses = {}, []
    for name, given in {"alone": None, "taught": teacher}.items():
        training = replace(SMALL, dim=8, epochs=8)
        vectors = train_static(text, None, tokenizer, given, training, lambda *words: losses.append(words[1]))
        found = encoder_of(tmp_path / name, tokenizer, vectors).encode([in_cipher("bbb_Grek", line) for line in lines])
        linear = np.linalg.lstsq(found[:150], taught(lines[:150]))[0]
        mapped = found[150:] @ linear
        cosine[name] = ((mapped * taught(lines[150:])).sum(1) / np.linalg.norm(mapped, axis=1)).mean()
    assert cosine["taught"] > 0.6 and cosine["taught"] > cosine["alone"] + 0.3
    distil = [found["distil"] for found in losses if "distil" in found]
    assert len(distil) == 3 and distil[-1] < 0.4  # of two sides, each 1 - cosine


def test_halves_of_pages_find_each_other(text, tokenizer, tmp_path):
    """Pages of eight topics; the two halves of a page share no word, only the topic."""
    draw = np.random.default_rng(5)
    topics = [(WORDS[at : at + 5], WORDS[at + 5 : at + 10]) for at in range(0, 80, 10)]

    def page(topic: tuple[list[str], list[str]]) -> str:
        return PAGE_BREAK.join(" ".join(draw.choice(words, 25)) for words in topic)

    (tmp_path / "pages").mkdir()
    pages = [page(topics[i % 8]) for i in range(96)]
    pq.write_table(pa.table({"text": pages}), tmp_path / "pages" / "eng_Latn.parquet")
    pq.write_table(pa.table({"text": pages[:9]}), tmp_path / "pages" / "few_Latn.parquet")  # less than a batch
    told, gap = [], {}
    for name, folder in {"without": None, "with": tmp_path / "pages"}.items():
        training = replace(SMALL, epochs=5, document_batch=16, halves=2.0)
        vectors = train_static(text, folder, tokenizer, None, training, lambda *words: told.append(words[1]))
        encoder = encoder_of(tmp_path / name, tokenizer, vectors)
        first, second = (encoder.encode(side) for side in zip(*halves([page(t) for t in topics]), strict=True))
        likeness = first @ second.T
        gap[name] = np.diag(likeness).mean() - likeness[~np.eye(8, dtype=bool)].mean()
    assert gap["with"] > gap["without"] + 0.2
    assert "halves" in told[-1] and "halves" not in told[0]


def test_teacher_vectors_are_centred_and_stand_for_each_text(tmp_path):
    teacher = str(save_bert(train_tokenizer(), tmp_path))
    english = ["the river runs", "every school reads light", "the river runs", "a green star", "valley " * 200]
    vectors, place = teacher_vectors(teacher, english)
    assert vectors.dtype == np.float16 and vectors.shape == (4, 16)
    assert place.tolist() == [sorted(set(english)).index(line) for line in english]
    assert np.allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=2e-3)

    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(teacher, device="cpu").encode(sorted(set(english)), normalize_embeddings=True)
    plain -= plain.mean(0)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    assert (plain * vectors).sum(1).min() > 0.95  # bfloat16


def test_token_ids_are_cut_and_never_empty(tokenizer):
    ids = token_ids(tokenizer, ["", " ", "river stone", "river " * 1000])
    assert [len(found) for found in ids[:2]] == [1, 1] or ids[0].tolist() == [0]
    assert ids[2].dtype == np.int64 and len(ids[3]) == MAX_TOKENS


def test_the_vocabulary_is_folded_and_reads_digits_one_by_one(text):
    tokenizer = train_vocabulary([*text.english, "Kapitel 123, 4567 und 89!"], 300)
    assert tokenizer.get_vocab_size() <= 300 and tokenizer.token_to_id("[UNK]") == 0
    assert tokenizer.encode("RIVER ﬁre").ids == tokenizer.encode("river fire").ids
    tokens = tokenizer.encode("river 123, stone").tokens
    assert tokens.count("1") == tokens.count("2") == tokens.count("3") == tokens.count(",") == 1
    assert train_vocabulary(["one river"], 50).encode("世").ids[-1] == 0


def test_texts_of_the_vocabulary(text, tmp_path):
    pq.write_table(pa.table({"text": [f"page {i}" for i in range(PAGES_A_LANGUAGE + 9)]}), tmp_path / "x_Latn.parquet")
    found = vocabulary_texts(text, tmp_path)
    assert found[:PAGES_A_LANGUAGE] == [f"page {i}" for i in range(PAGES_A_LANGUAGE)]
    rest = found[PAGES_A_LANGUAGE:]
    assert sum(line in set(text.translation) for line in rest) == int(0.6 * len(text.translation))
    assert sum(line in set(text.english) for line in rest) == int(0.06 * len(text.english)) == len(rest) - 720
    assert vocabulary_texts(text, tmp_path) == found != vocabulary_texts(text, tmp_path, seed=1)
