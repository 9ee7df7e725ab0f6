"""Static encoders: equal to the mean of token vectors and to sentence-transformers, whatever the batch and the text."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from encoder_help import save_static as save_other
from encoder_help import train_tokenizer
from safetensors.numpy import load_file, save_file
from static_help import HARD, english_lines, in_cipher, small_encoder

from jql.encoder.encoder import EncoderSpec, folder_revision, load_encoder
from jql.encoder.static import StaticEncoder, find_static, read_static, save_static, static_spec
from jql.errors import DataError, InputError
from jql.paths import encoders_dir

LINES = [*english_lines(20, seed=9), in_cipher("ccc_Cyrl", "river stone"), "Straße № 12, und 3", "x"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[EncoderSpec, np.ndarray]:
    return small_encoder(tmp_path_factory.mktemp("static"))


@pytest.fixture
def copied(made, tmp_path) -> EncoderSpec:
    """A copy of the encoder's folder to break; its spec has no revision."""
    shutil.copytree(made[0].model, tmp_path / "copied")
    return replace(made[0], model=str(tmp_path / "copied"), revision="")


def plain_means(folder: str, ids_of_texts: list[list[int]]) -> np.ndarray:
    """Mean token vectors of length 1, by numpy alone."""
    vectors = load_file(Path(folder) / "model.safetensors")["embedding.weight"].astype(np.float64)
    means = np.array([vectors[ids].mean(0) for ids in ids_of_texts])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def ids_of(folder: str, texts: list[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def test_encode_is_the_normalised_mean_of_token_vectors(made):
    spec, _ = made
    found = StaticEncoder(spec).encode(LINES)
    assert found.dtype == np.float32 and found.shape == (len(LINES), 24)
    assert np.allclose(found, plain_means(spec.model, ids_of(spec.model, LINES)), atol=1e-6)


@pytest.mark.parametrize("long", ["truncate", "head+middle+tail", "all"])
def test_long_documents_are_cut_to_tokens(made, long):
    spec = replace(made[0], long=long, max_tokens=30)
    text = " ".join(LINES * 3)
    (ids,) = ids_of(spec.model, [text])
    middle = (len(ids) - 10) // 2
    kept = {"truncate": ids[:30], "head+middle+tail": [*ids[:10], *ids[middle : middle + 10], *ids[-10:]], "all": ids}
    assert len(ids) > 100
    found = StaticEncoder(spec).encode([text])
    assert np.allclose(found, plain_means(spec.model, [kept[long]]), atol=1e-6)


def test_without_normalisation_and_with_a_prompt(made):
    spec, _ = made
    plain = StaticEncoder(replace(spec, normalise=False)).encode(LINES)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert (np.abs(lengths - 1) > 0.01).any() and np.allclose(
        plain / lengths, StaticEncoder(spec).encode(LINES), atol=1e-6
    )
    prompted = StaticEncoder(replace(spec, prompt="winter: ")).encode(LINES)
    assert np.array_equal(prompted, StaticEncoder(spec).encode([f"winter: {text}" for text in LINES]))


def test_sentence_transformers_encodes_the_same(made):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(made[0].model, device="cpu").encode(LINES)
    ours = StaticEncoder(made[0]).encode(LINES)
    assert np.abs(ours - theirs.astype(np.float32)).max() < 3e-3
    assert (ours * theirs).sum(1).min() > 0.999  # float16 in theirs


def test_a_folder_that_sentence_transformers_saved_is_read(made, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer, vectors = read_static(Path(made[0].model))
    for name, after in {"plain": [], "normalised": [Normalize()]}.items():
        model = sentence_transformers.SentenceTransformer(
            modules=[StaticEmbedding(tokenizer, vectors), *after], device="cpu"
        )
        model.save(str(tmp_path / name))
        theirs = model.encode(LINES, normalize_embeddings=True)
        assert np.allclose(StaticEncoder(static_spec(str(tmp_path / name))).encode(LINES), theirs, atol=1e-6)


def test_a_row_does_not_depend_on_batch_or_order(made):
    for spec in (made[0], static_spec("multilingual-static")):
        encoder = StaticEncoder(spec)
        texts = [*LINES, *(text[:5000] for text in HARD)]
        whole = encoder.encode(texts)
        order = np.random.default_rng(0).permutation(len(texts))
        assert np.array_equal(encoder.encode([texts[i] for i in order]), whole[order])
        assert np.array_equal(np.concatenate([encoder.encode([text]) for text in texts]), whole)
        assert np.array_equal(encoder.encode(texts * 3)[-len(texts) :], whole)
        assert encoder.encode([]).shape == (0, spec.dim)


def test_padding_and_truncation_of_a_tokenizer_are_not_applied(made, tmp_path):
    """Of a tokenizer of our own and of one with other rules."""
    shutil.copytree(made[0].model, tmp_path / "ours")
    save_other(train_tokenizer(), tmp_path / "other")
    for name in ("ours", "other"):
        spec = replace(static_spec(str(tmp_path / name)), revision="")
        plain = StaticEncoder(spec).encode(LINES)
        tokenizer, _ = read_static(tmp_path / name)
        tokenizer.enable_padding(length=50)
        tokenizer.enable_truncation(2)
        tokenizer.save(str(tmp_path / name / "tokenizer.json"))
        assert np.array_equal(StaticEncoder(spec).encode(LINES), plain)


def test_white_space_and_folded_signs_are_read_as_by_tokenizers():
    """The encoder in the box cuts by itself what its tokenizer.json says."""
    folder = encoders_dir() / "multilingual-static"
    texts = [
        "a  b",
        "a\nb",
        "\ta\r\n b ",
        "a\u00a0b",
        "a´b",
        "a\u2028b",
        "a\x85b",
        "a\u200bb",
        "ｆｕｌｌ　ｗｉｄｔｈ",
        "ﬁre",
    ]
    texts += [
        "a\x00b",
        "İstanbul",
        "ΟΔΟΣ ΣΑΣ",
        "😀😀",
        "½",
        "1²3",
        "…",
        "٣٤",
        "e\u0301",
        "ǅ",
        "№ 12,5%",
        "ΑΙ\u0345",
        "世界。",
    ]
    tokenizer, vectors = read_static(folder)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    expected = np.array([vectors[found].mean(0) for found in ids])
    encoder = StaticEncoder(replace(static_spec("multilingual-static"), normalise=False))
    assert np.allclose(encoder.encode(texts), expected, atol=1e-5)


@pytest.mark.parametrize("long", ["truncate", "all"])
def test_any_text_gets_a_finite_vector(made, long):
    for spec in (replace(made[0], long=long), static_spec("multilingual-static", long)):
        found = StaticEncoder(spec).encode(HARD)
        assert found.dtype == np.float32 and np.isfinite(found).all()
        lengths = np.linalg.norm(found, axis=1)
        assert np.all((lengths == 0) | np.isclose(lengths, 1))
        assert not found[HARD.index("")].any() and not found[HARD.index("\ud800")].any()
        assert found[HARD.index("a")].any() and found[HARD.index("\ud800 lone")].any()


def test_the_encoder_in_the_box(tmp_path):
    encoder = load_encoder(static_spec("multilingual-static"))
    assert isinstance(encoder, StaticEncoder)
    folder = encoders_dir() / "multilingual-static"
    assert encoder.spec.model == "multilingual-static" and encoder.spec.dim == 256
    assert encoder.spec.revision == folder_revision(folder)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 40_000_000
    texts = [
        "The river runs through the valley.",
        "Der Fluss fließt durch das Tal.",
        "Реката тече през долината.",
        "The government raised taxes on fuel.",
        "Die Regierung erhöhte die Steuern auf Treibstoff.",
        "Правителството повиши данъците върху горивата.",
    ]
    likeness = encoder.encode(texts) @ encoder.encode(texts).T
    assert likeness[:3, :3].min() > likeness[:3, 3:].max() and likeness[3:, 3:].min() > likeness[:3, 3:].max()


def test_the_encoder_in_the_box_is_what_sentence_transformers_loads():
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = encoders_dir() / "multilingual-static"
    texts = [*LINES, "Der Fluss fließt durch das Tal.", "ποτάμι, 2024", "世界"]
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert np.abs(StaticEncoder(static_spec("multilingual-static")).encode(texts) - theirs).max() < 3e-3


def test_encoding_needs_no_torch(made):
    code = "import sys; from jql.encoder.static import *; StaticEncoder(static_spec(sys.argv[1])).encode(['a b'])"
    code += "; print(*(sys.modules.keys() & {'torch', 'transformers', 'sentence_transformers', 'sklearn'}))"
    done = subprocess.run([sys.executable, "-c", code, made[0].model], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_saving_and_reading_is_identity_in_float16(made, tmp_path):
    spec, vectors = made
    tokenizer, found = read_static(Path(spec.model))
    assert found.dtype == np.float32 and np.array_equal(found, vectors.astype(np.float16).astype(np.float32))
    save_static(tmp_path / "again", tokenizer, found)
    for name in ("model.safetensors", "modules.json"):
        assert (tmp_path / "again" / name).read_bytes() == (Path(spec.model) / name).read_bytes()
    assert np.array_equal(
        StaticEncoder(static_spec(str(tmp_path / "again"))).encode(LINES), StaticEncoder(spec).encode(LINES)
    )


def test_saving_leaves_no_truncation_of_a_training_behind(made, tmp_path):
    tokenizer, vectors = read_static(Path(made[0].model))
    tokenizer.enable_truncation(3)
    save_static(tmp_path / "again", tokenizer, vectors)
    assert json.loads((tmp_path / "again" / "tokenizer.json").read_text())["truncation"] is None


def test_a_folder_that_changed_or_another_dimension_is_refused(made, copied):
    pinned = StaticEncoder(copied).spec
    assert pinned == replace(copied, revision=made[0].revision)
    with pytest.raises(DataError, match=r"copied: vectors of 24 dimensions, the spec says 256"):
        StaticEncoder(replace(copied, dim=256))
    vectors = read_static(Path(copied.model))[1]
    vectors[7, 0] += 1
    save_file({"embedding.weight": vectors.astype(np.float16)}, Path(copied.model) / "model.safetensors")
    with pytest.raises(
        DataError, match=rf"content has the hash [0-9a-f]+, expected {pinned.revision}; copy the folder"
    ):
        StaticEncoder(pinned)
    assert StaticEncoder(copied).spec.revision != pinned.revision


def test_the_pin_of_a_named_encoder_holds():
    spec = static_spec("multilingual-static")
    assert StaticEncoder(spec).spec == spec
    with pytest.raises(DataError, match=rf"content has the hash {spec.revision}, expected 0123; copy the folder again"):
        StaticEncoder(replace(spec, revision="0123"))


def test_an_unknown_name_lists_the_known(tmp_path):
    for name in ("no-such", "no/such", str(tmp_path)):
        with pytest.raises(
            InputError, match=rf"encoder '{name}': no such folder, and not one .* \(.*multilingual-static"
        ):
            find_static(name)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def test_broken_files_are_named(copied):
    folder = Path(copied.model)
    whole = (folder / "model.safetensors").read_bytes()
    cut_short(folder / "model.safetensors")
    with pytest.raises(DataError, match=r"copied: cannot be read \(.*\); copy the folder again"):
        static_spec(copied.model)
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"copied: cannot be read \(.*No such file.*\); copy the folder again"):
        static_spec(copied.model)
    (folder / "model.safetensors").write_bytes(whole)
    cut_short(folder / "tokenizer.json")
    with pytest.raises(DataError, match=r"tokenizer.json: cannot be read \(.*\); copy it again"):
        static_spec(copied.model)


@pytest.mark.parametrize("content", ["", "[{", "{}x", '[{"idx": 0}]', '"text"'])
def test_a_broken_list_of_modules_is_named(copied, content):
    (Path(copied.model) / "modules.json").write_text(content)
    with pytest.raises(DataError, match=r"copied/modules.json: cannot be read \(.*\); copy it again"):
        static_spec(copied.model)


@pytest.mark.parametrize(
    "kinds", [["Transformer", "Pooling"], ["StaticEmbedding", "Dense"], ["StaticEmbedding", "Normalize", "Dense"], []]
)
def test_other_modules_are_refused(copied, kinds):
    modules = [
        {"idx": i, "name": str(i), "path": "", "type": f"sentence_transformers.models.{k}"} for i, k in enumerate(kinds)
    ]
    (Path(copied.model) / "modules.json").write_text(json.dumps(modules))
    found = r" \+ ".join(kinds)
    with pytest.raises(DataError, match=rf"modules {found}, expected StaticEmbedding; use kind: sentence-transformers"):
        static_spec(copied.model)


def test_vectors_that_do_not_fit_the_tokenizer_are_refused(copied):
    vectors = read_static(Path(copied.model))[1]
    file = Path(copied.model) / "model.safetensors"
    for tensors in (
        {"embedding.weight": vectors[:-1]},
        {"weight": vectors},
        {"embedding.weight": vectors[:, 0].copy()},
    ):
        save_file(tensors, file)
        with pytest.raises(
            DataError, match=rf"expected embedding.weight with {len(vectors)} rows; copy the folder again"
        ):
            static_spec(copied.model)
    vectors[3, 3] = np.nan
    save_file({"embedding.weight": vectors}, file)
    with pytest.raises(DataError, match=r"model.safetensors: vectors that are not finite; copy the folder again"):
        static_spec(copied.model)


def test_tensors_of_model2vec(copied, made):
    """One vector a token is read; vectors that tokens share would need its weights, and are refused."""
    vectors = read_static(Path(copied.model))[1]
    file = Path(copied.model) / "model.safetensors"
    save_file({"embeddings": vectors}, file)
    assert np.array_equal(StaticEncoder(copied).encode(LINES), StaticEncoder(made[0]).encode(LINES))
    save_file({"embeddings": vectors, "weights": np.ones(len(vectors), np.float32)}, file)
    with pytest.raises(DataError, match=r"vectors shared by tokens; use kind: sentence-transformers"):
        static_spec(copied.model)
