"""Annotator folders: golden scores, what is refused, and texts that are hardly texts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jql.annotator.annotator import FILES, GOLDEN_TOLERANCE, Annotator
from jql.errors import DataError, InputError
from jql.paths import annotators_dir

SHIPPED = sorted(p.parent.name for p in annotators_dir().glob("*/annotator.json"))
HARD = ["", " ", "a", "\x00", "\ud800 lone", "🙂🙃🚀" * 50, "x" * 1_000_000, "Мир und 世界 و ไทย", "\n" * 1000]


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    return Annotator.load("edu-ngram")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(annotators_dir() / "edu-ngram", tmp_path / "copy"))


@pytest.mark.parametrize("name", SHIPPED)
def test_golden_scores_are_reproduced(name):
    annotator = Annotator.load(name)
    rows = [json.loads(line) for line in (annotators_dir() / name / "golden.jsonl").open(encoding="utf-8")]
    scores = annotator.score([row["text"] for row in rows])
    for i, row in enumerate(rows):
        for head in annotator.heads:
            assert scores[head][i] == pytest.approx(row["scores"][head], abs=GOLDEN_TOLERANCE)


def test_any_text_gets_a_finite_float32_score(annotator):
    for points in annotator.score(HARD).values():
        assert points.dtype == np.float32 and points.shape == (len(HARD),) and np.isfinite(points).all()


def test_scores_do_not_depend_on_batch_or_order(annotator):
    texts = [*HARD, *(f"Lesson {i}: a triangle has {i} corners." for i in range(40))]
    whole = annotator.score(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    mixed = annotator.score([texts[i] for i in order])
    for head in annotator.heads:
        assert np.array_equal(mixed[head], whole[head][order])
        assert np.array_equal([annotator.score([t])[head][0] for t in texts], whole[head])


def test_saving_and_loading_is_identity(annotator, tmp_path):
    annotator.save(tmp_path / "a", {"range": [0, 5]}, "name: edu\n", ["one text"], "# card\n")
    again = Annotator.load(str(tmp_path / "a"))
    assert (again.name, again.spec, again.heads) == (annotator.name, annotator.spec, annotator.heads)
    assert np.array_equal(again.weight, annotator.weight) and np.array_equal(again.bias, annotator.bias)


def test_the_revision_changes_with_the_weights(annotator, folder):
    assert Annotator.load(str(folder)).revision == annotator.revision
    save_file({"weight": annotator.weight * 2, "bias": annotator.bias}, folder / "heads.safetensors")
    assert Annotator.load(str(folder)).revision != annotator.revision


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"copy: not a whole annotator, {name} missing"):
        Annotator.load(str(folder))


def test_another_encoder_is_refused(folder):
    meta = json.loads((folder / "annotator.json").read_text())
    meta["encoder"]["kind"] = "sentence-transformer"
    (folder / "annotator.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="was trained on the encoder 'sentence-transformer', expected 'char-ngrams'"):
        Annotator.load(str(folder))
    meta["encoder"] = {"kind": "char-ngrams", "depth": 3}
    (folder / "annotator.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="encoder spec not understood"):
        Annotator.load(str(folder))


def test_heads_that_do_not_fit_are_refused(folder, annotator):
    save_file({"weight": annotator.weight[:, :100], "bias": annotator.bias}, folder / "heads.safetensors")
    with pytest.raises(DataError, match=r"heads of shape \(2, 100\) do not fit the encoder, expected \(2, 262144\)"):
        Annotator.load(str(folder))
    (folder / "heads.safetensors").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"heads\.safetensors: cannot be read"):
        Annotator.load(str(folder))


def test_an_unknown_name_lists_those_that_come_with_jql():
    with pytest.raises(InputError, match=r"annotator 'eddu': no such folder.*edu-ngram"):
        Annotator.load("eddu")


def test_a_remote_folder_is_fetched_to_the_node(s3, annotator):
    from jql.engine import storage

    for name in FILES:
        storage.put(f"{s3}/annotators/mine/{name}", (annotators_dir() / "edu-ngram" / name).read_bytes())
    remote = Annotator.load(f"{s3}/annotators/mine")
    assert remote.revision == annotator.revision
    with pytest.raises(InputError, match=r"no annotator\.json there"):
        Annotator.load(f"{s3}/annotators/nothing")
