"""`jql encoder train` from a parallel corpus to a folder with a card, and the measure that the card states."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from conftest import run_here
from encoder_help import save_bert, train_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from static_help import ALPHABETS, english_lines, in_cipher, write_corpus, write_pairs

from jql.annotator.ngrams import ngrams
from jql.encoder.encoder import folder_revision
from jql.encoder.make_encoder import describe, make_encoder
from jql.encoder.named import encoder_spec
from jql.encoder.parallel_text import PAGE_BREAK, read_parallel_text
from jql.encoder.retrieval import retrieval
from jql.encoder.static import StaticEncoder, static_spec
from jql.encoder.train_static import Training
from jql.errors import InputError

SMALL = Training(vocabulary=1500, dim=16, epochs=5, batch=128, document_batch=32)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def parallel(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("parallel"))


def test_the_command_makes_an_encoder_with_its_card(parallel, tmp_path, capfd):
    options = ["--to", "ciphers", "--vocabulary", "1500", "--dim", "32", "--epochs", "18"]
    code, said = run_here("encoder", "train", str(parallel), *options, folder=tmp_path), capfd.readouterr()
    assert code == 0, said.err
    assert "1,200 pairs, 201 documents, 3 languages" in said.out and "step 63/63" in said.out
    folder = tmp_path / "ciphers"
    encoder = StaticEncoder(encoder_spec(str(folder)))
    assert encoder.spec.dim == 32
    text = read_parallel_text(parallel)
    found = retrieval(encoder.encode, text.held_out)
    assert min(found.values()) > 0.5  # chance is 1 in 500

    card = (folder / "CARD.md").read_text()
    assert card.startswith("# ciphers\n") and "32 dimensions" in card and "1,200 pairs" in card
    plain = retrieval(ngrams, text.held_out)
    for language in ALPHABETS:
        assert f"| {language} | {found[language]:.3f} | {plain[language]:.3f} |" in card
    record = json.loads((folder / "training.yaml").read_text())
    assert record["teacher"] is None and record["pairs"] == 1200 and record["training"]["epochs"] == 18
    assert record["retrieval"] == {language: round(value, 4) for language, value in found.items()}
    assert f"retrieval {np.mean(list(found.values())):.3f}, worst" in said.out


def test_with_pages_and_a_teacher_into_a_folder_named_as_the_one_in_the_box(parallel, tmp_path, monkeypatch, capsys):
    (tmp_path / "pages").mkdir()
    texts = [" ".join(english_lines(4, seed=i)) for i in range(40)]
    pages = [text + PAGE_BREAK + text for text in texts]
    pq.write_table(pa.table({"text": pages}), tmp_path / "pages" / "eng_Latn.parquet")
    teacher = save_bert(train_tokenizer(), tmp_path / "teacher")
    monkeypatch.chdir(tmp_path)
    make_encoder(parallel, Path("pages"), str(teacher), Path("multilingual-static"), SMALL)
    printed = capsys.readouterr().out
    assert all(f"'{loss}': " in printed for loss in ("pairs", "distil", "documents", "halves"))
    folder = tmp_path / "multilingual-static"
    card = (folder / "CARD.md").read_text()
    assert "halves of a web page find each other" in card and f"vector in {teacher.name} is matched" in card
    encoder = StaticEncoder(static_spec(str(folder)))
    found = retrieval(encoder.encode, read_parallel_text(parallel).held_out)
    assert json.loads((folder / "training.yaml").read_text())["retrieval"] == {
        language: round(value, 4) for language, value in found.items()
    }
    assert min(found.values()) > 0.3


def test_the_card_is_no_part_of_the_revision(parallel, tmp_path):
    make_encoder(parallel, None, None, tmp_path / "made", SMALL)
    revision = folder_revision(tmp_path / "made")
    describe(tmp_path / "made", read_parallel_text(parallel), SMALL, "another", True, 1234.5)
    assert "1,234 s in all" in (tmp_path / "made" / "CARD.md").read_text()
    assert folder_revision(tmp_path / "made") == revision
    make_encoder(parallel, None, None, tmp_path / "again", SMALL)
    same = (StaticEncoder(static_spec(str(tmp_path / name))).encode(english_lines(9)) for name in ("made", "again"))
    assert np.array_equal(*same)


def test_a_language_without_held_out_lines_is_trained_and_not_measured(parallel, tmp_path):
    folder = tmp_path / "parallel"
    folder.mkdir()
    (folder / "aaa_Latn.parquet").write_bytes((parallel / "aaa_Latn.parquet").read_bytes())
    lines = english_lines(50)
    write_pairs(folder, "ccc_Cyrl", [("tatoeba", line, in_cipher("ccc_Cyrl", line)) for line in lines])
    make_encoder(folder, None, None, tmp_path / "made", SMALL)
    assert json.loads((tmp_path / "made" / "training.yaml").read_text())["retrieval"].keys() == {"aaa_Latn"}


def test_no_parallel_text_is_one_line_and_exit_code_2(tmp_path, capfd):
    with pytest.raises(InputError, match="no Parquet files"):
        make_encoder(tmp_path / "none", None, None, tmp_path / "made", SMALL)
    code = run_here("encoder", "train", str(tmp_path / "none"), "--to", str(tmp_path / "made"), folder=tmp_path)
    said = capfd.readouterr().err
    assert code == 2 and said.count("\n") == 1
    assert "none: no Parquet files, expected one a language with source, english, translation" in said
    assert not (tmp_path / "made").exists()


@given(st.permutations(range(12)), st.booleans())
def test_retrieval_of_a_permutation_is_its_share_of_fixed_points(order, sparse):
    """Line i stands at i in English and at order[i] in translation."""
    vectors = {f"e{i}": np.eye(12, dtype=np.float32)[i] for i in range(12)}
    vectors |= {f"t{i}": np.eye(12, dtype=np.float32)[place] for i, place in enumerate(order)}

    def encode(texts):
        rows = np.array([vectors[text] for text in texts])
        return sp.csr_matrix(rows) if sparse else rows

    found = retrieval(encode, {"xxx_Latn": [(f"e{i}", f"t{i}") for i in range(12)]})
    assert found == {"xxx_Latn": pytest.approx(np.mean([i == place for i, place in enumerate(order)]))}


def test_retrieval_is_the_mean_of_both_ways():
    """Of lines at angles, one English line finds its translation, and two translations find their line."""
    angle = {"e0": 0, "e1": 10, "e2": 20, "t0": 4, "t1": 60, "t2": 90}

    def encode(texts):
        radians = np.radians([angle[text] for text in texts])
        return np.stack([np.cos(radians), np.sin(radians)], axis=1)

    # e0, e1 and e2 are nearest to t0; t0 to e0, t1 and t2 to e2
    assert retrieval(encode, {"x": [(f"e{i}", f"t{i}") for i in range(3)]}) == {"x": pytest.approx((1 / 3 + 2 / 3) / 2)}
