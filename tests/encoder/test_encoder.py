"""Encoder specs: what they refuse, which encoder they name, and which annotator fits."""

import importlib
import subprocess
import sys
from dataclasses import replace

import pytest

from jql.encoder.encoder import (
    NAMED,
    EncoderSpec,
    folder_revision,
    load_encoder,
    named_spec,
    pinned_revision,
    refuse_other,
)
from jql.errors import DataError, InputError

SPEC = EncoderSpec(
    kind="transformer",
    model="some/model",
    revision="abc",
    pooling="mean",
    max_tokens=512,
    dtype="float32",
    normalise=True,
    prompt="",
    dim=32,
    long="truncate",
)


def test_json_and_back_is_identity():
    for spec in [SPEC, *NAMED.values()]:
        assert EncoderSpec.from_json(spec.to_json(), "x") == spec


def test_a_field_with_a_default_may_be_absent():
    record = SPEC.to_json()
    del record["adapter"]
    assert EncoderSpec.from_json(record, "x") == SPEC


def test_unknown_and_missing_fields_are_named():
    with pytest.raises(DataError, match="folder: encoder: unknown depth, wings; use the version of jql that made it"):
        EncoderSpec.from_json({**SPEC.to_json(), "depth": 3, "wings": 2}, "folder")
    record = SPEC.to_json()
    del record["dim"], record["prompt"]
    with pytest.raises(DataError, match="folder: encoder: dim, prompt missing; copy the annotator again or add"):
        EncoderSpec.from_json(record, "folder")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kind", "onnx", "kind: expected one of static, sentence-transformers, transformer, got 'onnx'"),
        ("pooling", "max", "pooling: expected one of mean, cls, last, got 'max'"),
        ("dtype", "int8", "dtype: expected one of float32, bfloat16, float16, got 'int8'"),
        ("long", "some", r"long: expected one of truncate, head\+middle\+tail, all, got 'some'"),
        ("max_tokens", 0, "max_tokens: expected a whole number above 0, got 0"),
        ("max_tokens", "512", "max_tokens: expected a whole number above 0, got '512'"),
        ("dim", True, "dim: expected a whole number above 0, got True"),
        ("normalise", 1, "normalise: expected a bool, got 1"),
        ("prompt", None, "prompt: expected a str, got None"),
        ("kind", [], r"kind: expected one of .*, got \[\]"),
    ],
)
def test_wrong_values_are_refused(field, value, message):
    with pytest.raises(DataError, match=f"a.json: encoder: {message}; copy the annotator again or correct the field"):
        EncoderSpec.from_json({**SPEC.to_json(), field: value}, "a.json")


def test_the_encoders_of_the_paper_are_named():
    found = {name: (s.model, s.pooling, s.dim, s.max_tokens, s.normalise, s.adapter) for name, s in NAMED.items()}
    assert found == {
        "snowflake-arctic-embed-m-v2.0": ("Snowflake/snowflake-arctic-embed-m-v2.0", "cls", 768, 8192, True, ""),
        "gte-multilingual-base": ("Alibaba-NLP/gte-multilingual-base", "cls", 768, 8192, True, ""),
        "jina-embeddings-v3": ("jinaai/jina-embeddings-v3", "mean", 1024, 8192, True, "text-matching"),
    }
    assert named_spec("gte-multilingual-base") is NAMED["gte-multilingual-base"]
    with pytest.raises(InputError, match=r"encoder 'bert': expected one of snowflake-arctic-embed-m-v2.0, gte"):
        named_spec("bert")


def test_another_encoder_is_refused_field_by_field():
    refuse_other(SPEC, SPEC)
    with pytest.raises(
        DataError,
        match="do not fit: pooling: trained with 'mean', got 'cls'; dtype: trained with 'float32', got 'bfloat16'; load",
    ):
        refuse_other(SPEC, replace(SPEC, pooling="cls", dtype="bfloat16"))


def test_of_one_revision_the_place_is_free_and_without_one_the_revision_is():
    refuse_other(SPEC, replace(SPEC, model="/elsewhere"))
    refuse_other(replace(SPEC, revision=""), SPEC)
    with pytest.raises(DataError, match="model: trained with 'some/model', got 'other'; revision: trained with 'abc'"):
        refuse_other(SPEC, replace(SPEC, model="other", revision="def"))
    with pytest.raises(DataError, match="model: trained with 'some/model', got 'other'"):
        refuse_other(replace(SPEC, revision=""), replace(SPEC, model="other"))


def test_the_revision_of_a_folder_is_its_content(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    first = folder_revision(tmp_path)
    assert len(first) == 16
    (tmp_path / "README.md").write_text("card")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "state.json").write_text("{}")
    assert folder_revision(tmp_path) == first
    (tmp_path / "1_Pooling" / "config.json").write_text("[]")
    second = folder_revision(tmp_path)
    assert second != first
    (tmp_path / "1_Pooling" / "config.json").rename(tmp_path / "config.json")
    assert folder_revision(tmp_path) not in (first, second)


def test_a_folder_that_changed_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    spec = replace(SPEC, model=str(tmp_path), revision="")
    spec = replace(spec, revision=pinned_revision(spec))
    assert pinned_revision(spec) == folder_revision(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(DataError, match=rf"content has the hash [0-9a-f]+, expected {spec.revision}; copy the folder"):
        load_encoder(spec)
    assert pinned_revision(SPEC) == "abc"


def test_importing_the_specs_is_light():
    code = "import sys, jql.encoder.encoder; print(*(sys.modules.keys() & {'torch', 'transformers', 'sklearn'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == ""
    assert importlib.util.find_spec("jql.encoder.transformer")
