"""Annotator folders: golden scores, what is refused, and texts that are hardly texts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jql.annotator.annotator import FILES, GOLDEN_TOLERANCE, Annotator
from jql.errors import DataError, InputError
from jql.paths import annotators_dir

SHIPPED = sorted(p.parent.name for p in annotators_dir().glob("*/annotator.json"))
HARD = ["", " ", "a", "\x00", "\ud800 lone", "🙂🙃🚀" * 50, "x" * 1_000_000, "Мир und 世界 و ไทย", "\n" * 1000]


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    return Annotator.load("edu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(annotators_dir() / "edu", tmp_path / "copy"))


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
    annotator.save(tmp_path / "a")
    again = Annotator.load(str(tmp_path / "a"))
    assert (again.name, again.spec, again.heads) == (annotator.name, annotator.spec, annotator.heads)
    assert (again.rubric, again.card, again.golden) == (annotator.rubric, annotator.card, annotator.golden)
    for head, points in annotator.score(HARD).items():
        assert np.array_equal(again.score(HARD)[head], points)


def test_the_revision_changes_with_the_weights(annotator, folder):
    assert Annotator.load(str(folder)).revision == annotator.revision
    replace(annotator.trained, bias=annotator.trained.bias * 2).save(folder / "heads.safetensors")
    assert Annotator.load(str(folder)).revision != annotator.revision


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"copy: not a whole annotator, {name} missing"):
        Annotator.load(str(folder))


def rewritten(folder: Path, **encoder: object) -> str:
    meta = json.loads((folder / "annotator.json").read_text())
    meta["encoder"] |= encoder
    (folder / "annotator.json").write_text(json.dumps(meta))
    return str(folder)


def test_another_encoder_is_refused(folder):
    with pytest.raises(DataError, match=r"content has the hash [0-9a-f]{16}, expected 0000000000000000"):
        Annotator.load(rewritten(folder, revision="0" * 16)).score(["a"])
    with pytest.raises(DataError, match=r"kind: expected one of static, sentence-transformers, transformer, got 'bow'"):
        Annotator.load(rewritten(folder, kind="bow"))
    with pytest.raises(DataError, match="encoder: unknown depth; use the version of jql that made it"):
        Annotator.load(rewritten(folder, depth=3))


def test_other_features_are_refused(folder):
    meta = json.loads((folder / "annotator.json").read_text())
    meta["features"]["ngram_hash"] = [2, 5, 20]
    (folder / "annotator.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match=r"features .* are not those of this version; use the one that made it"):
        Annotator.load(str(folder))


def test_heads_that_do_not_fit_are_refused(folder, annotator):
    heads = annotator.trained
    replace(heads, hidden_weight=heads.hidden_weight[:, :100].copy()).save(folder / "heads.safetensors")
    with pytest.raises(DataError, match=r"hidden_weight of shape \(\d+, 100\) does not fit the encoder"):
        Annotator.load(str(folder))
    (folder / "heads.safetensors").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"heads\.safetensors: cannot be read"):
        Annotator.load(str(folder))


def test_annotator_json_that_is_not_understood_is_refused(folder):
    (folder / "annotator.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match=r"annotator\.json: not understood \(KeyError: 'encoder'\)"):
        Annotator.load(str(folder))


def test_what_lies_beyond_the_window_does_not_count_but_the_end_does(annotator):
    text = "A triangle has three corners. " * 2000
    longer = text * 3
    for head, points in annotator.score([text, longer, text[:-1000] + "Buy now! " * 112]).items():
        assert abs(points[0] - points[1]) < 0.15, head
        assert points[0] != points[2], head


def test_an_unknown_name_lists_those_that_come_with_jql():
    with pytest.raises(InputError, match=r"annotator 'eddu': no such folder.*edu"):
        Annotator.load("eddu")


def test_a_remote_folder_is_fetched_to_the_node(s3, annotator):
    from jql.engine import storage

    for name in FILES:
        storage.put(f"{s3}/annotators/mine/{name}", (annotators_dir() / "edu" / name).read_bytes())
    remote = Annotator.load(f"{s3}/annotators/mine")
    assert remote.revision == annotator.revision
    with pytest.raises(InputError, match=r"no annotator\.json there"):
        Annotator.load(f"{s3}/annotators/nothing")
