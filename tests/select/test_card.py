"""The card beside an export: what `datasets` and the Hub read of it, and what a person does."""

import json
import shutil
from collections import Counter

import datasets
import pytest
from export_help import CODES, export, make_documents, manifest_of, rows_of
from huggingface_hub import DatasetCard

from jql.recipe import make_recipe
from jql.select.card import card_text, table


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    documents = make_documents(folder / "in")
    return export(documents, folder / "run", clustered=True, removed=True, file_documents=20, licence="ODC-By")


def test_the_folder_is_a_data_set_as_it_stands(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "dataset")  # what an upload of the folder would bring
    where, cache = str(tmp_path / "dataset"), str(tmp_path / "cache")
    assert datasets.get_dataset_config_names(where) == ["default", *CODES, "removed"]
    rows = rows_of(dataset)
    for config, expected in [
        (None, rows),
        (CODES[1], rows_of(dataset, language=CODES[1])),
        ("removed", rows_of(dataset, "removed")),
    ]:
        found = datasets.load_dataset(where, config, split="train", cache_dir=cache)
        assert found.to_list() == expected  # the numbers of rows are checked against the card, too
    info = datasets.load_dataset_builder(where, "default", cache_dir=cache).info
    assert info.splits["train"].num_examples == len(rows) and info.download_size > 0 < info.dataset_size
    assert [str(info.features[name].dtype) for name in ("weight", "cluster", "repeats")] == [
        "float32",
        "uint64",
        "int32",
    ]


def test_files_are_named_as_the_hub_names_them(dataset):
    names = sorted(p.relative_to(dataset).as_posix() for p in dataset.rglob("*.parquet"))
    assert len([n for n in names if n.startswith("data/eng_Latn/")]) > 1
    for code in CODES:
        ours = [name for name in names if name.startswith(f"data/{code}/")]
        assert ours == [f"data/{code}/train-{i:05d}-of-{len(ours):05d}.parquet" for i in range(len(ours))]
    manifest = json.loads((dataset / "manifest.json").read_text())["export"]
    told = [f["name"] for entry in manifest.values() for part in (entry, entry["removed"]) for f in part["files"]]
    assert sorted(told) == names


def test_the_hub_can_read_the_front_matter(dataset):
    data = DatasetCard.load(dataset / "README.md").data.to_dict()
    assert data["language"] == ["deu", "eng", "swe"] and data["license"] == "odc-by"
    assert [config["config_name"] for config in data["configs"]] == ["default", *CODES, "removed"]
    assert [info["config_name"] for info in data["dataset_info"]] == ["default", *CODES, "removed"]
    assert data["dataset_info"][1]["features"] == data["dataset_info"][0]["features"]


def test_the_card_shows_the_way_from_documents_to_rows(dataset):
    card, manifest = (dataset / "README.md").read_text(), json.loads((dataset / "manifest.json").read_text())
    assert "58 of 120 documents (51.7% removed) in 3 languages" in card
    for code, entry in manifest["summary"]["languages"].items():
        exported = manifest["export"][code]
        assert f"| {code} | {entry['documents']} | {entry['documents']} | {entry['kept']} | {entry['kept']} | " in card
        assert exported["documents"] == entry["kept"] == len(rows_of(dataset, language=code))
        assert exported["tokens"] == sum(row["tokens"] for row in rows_of(dataset, language=code))
    assert "| below_cut | 62 |" in card and "62 dropped documents with their `reason`" in card
    assert "ODC-By. Texts come from the web and belong to their authors" in card


def small_manifest(**parts):
    recipe = make_recipe({"stages": ["annotate", "select", "export"], "documents": {"path": "in"}, **parts})
    files = {"deu_Latn": {"documents": 3, "characters": 9, "bytes": 9, "tokens": 3, "size": 9, "files": []}}
    return manifest_of(recipe, files, {"deu_Latn": Counter(kept=3, below_cut=1)})


def test_duplicates_that_were_scored_have_passed_the_cut():
    manifest = small_manifest()
    entry = manifest["summary"]["languages"]["deu_Latn"]
    entry |= {"documents": 10, "representatives": 7, "kept": 3, "dropped": {"below_cut": 5, "duplicate": 2}}
    assert "| deu_Latn | 10 | 7 | 5 | 3 | 9 | 70.0% |" in card_text(manifest)
    manifest["recipe"]["annotate"]["copies"] = "one"  # then they were dropped before
    assert "| deu_Latn | 10 | 7 | 3 | 3 | 9 | 70.0% |" in card_text(manifest)


def test_languages_of_which_nothing_was_kept_are_named():
    manifest = small_manifest()
    for code in ("isl_Latn", "fao_Latn"):
        manifest["summary"]["languages"][code] = {"documents": 6, "kept": 0, "dropped": {"too_few_documents": 6}}
    card = card_text(manifest)
    assert "Nothing was kept of 12 documents in 2 languages: isl_Latn, fao_Latn." in card and "| isl_Latn" not in card


def test_what_is_known_to_be_wrong_is_said():
    manifest = small_manifest()
    manifest["annotator"] = "some annotator, revision 1"
    entry = manifest["summary"]["languages"]["deu_Latn"]
    entry["doubtful"] = {"documents": 3, "kept": 2}
    cut = {"of": "deu_Latn", "cuts": {"edu": 2.5}, "rank_error": 0.0012, "note": None}
    manifest["cuts"] = {"languages": {"deu_Latn": cut, "isl_Latn": {"cuts": None, "note": None}}}
    manifest["summary"]["cascade"] = {"loss": 0.01, "confidence": 0.95, "before": "big"}
    card = card_text(manifest)
    assert "in doubt about 2 kept documents (`language_score` below 0.5)" in card
    assert "| edu >= 2.50 |" in card and "off by at most 0.12% of its language's documents" in card
    assert "at most 1.0% of what big alone would keep is lost in a language (95% confidence each)" in card


def test_mixture_and_rehydration_have_tables_of_their_own():
    manifest = small_manifest()
    assert "## Mixture" not in (card := card_text(manifest)) and "## Rehydration" not in card
    manifest["summary"]["mixture"] = {"deu_Latn": {"share": 0.25, "tokens": 5000, "epochs": 1.5}}
    manifest["summary"]["rehydrate"] = {"deu_Latn": {"1": 1, "4": 3}, "eng_Latn": {}}
    card = card_text(manifest)
    assert (
        "| language | share | tokens | epochs |\n| --- | --- | --: | --- |\n| deu_Latn | 0.25 | 5,000 | 1.5 |" in card
    )
    assert "| deu_Latn | 1: 1, 4: 3 |" in card and "eng_Latn" not in card


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("", []), ("cc-by-4.0", ["license: cc-by-4.0"]), ("Ours: 1", ["license: other", 'license_name: "Ours: 1"'])],
)
def test_a_licence_that_the_hub_does_not_know_is_named(licence, expected):
    head = card_text(small_manifest(export={"licence": licence})).split("---")[1].splitlines()
    assert [line for line in head if line.startswith("license")] == expected


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ({"quantile": 0.6}, "each head's cut at quantile 0.6 of its language, rule `all`"),
        ({"by": "heuristics"}, "what the heuristics keep"),
        ({"by": "both", "where": "tokens > 3"}, "rule `all`, and the heuristics, and `tokens > 3`"),
        ({"mixture": {"tokens": 1000, "alpha": 0.3}}, "best first, for a mixture of 1,000 tokens"),
        ({"languages": {"deu_Latn": {"score": 2.0}}}, "of its language (another for deu_Latn), rule"),
    ],
)
def test_what_was_asked_for_is_said(select, expected):
    assert expected in card_text(small_manifest(select=select))


def test_a_table_without_rows_is_none():
    assert table(["a"], []) == ""
