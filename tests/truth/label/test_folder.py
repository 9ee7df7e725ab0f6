"""What is rated: documents, orders and rubric of a run folder, and what is said of one that cannot be used."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_help import DOCUMENTS, write_documents, write_run

from jql.engine import storage
from jql.errors import DataError, InputError, RecipeError
from jql.truth.label.folder import Document, everything, load_folder, page_language, read_languages, same_name


def test_a_run_folder(tmp_path):
    folder = load_folder(write_run(tmp_path / "run", assigned={"Ann": ["c", "a", "b"], "Bo": ["d"]}))
    assert folder.rubric.name == "clarity"
    assert folder.documents["b"] == Document("b", "arb_Arab", DOCUMENTS[1]["text"], True)
    assert folder.order("Ann") == ["c", "a", "b"]
    assert folder.order("Bo") == ["d"]
    assert folder.order("Cy") == []


def test_without_assignments_everybody_gets_everything_in_one_order(tmp_path):
    folder = load_folder(write_run(tmp_path / "run"))
    assert folder.order("Ann") == folder.order("Bo")
    assert set(folder.order("Ann")[:2]) == {"a", "b"}  # the pilot
    assert set(folder.order("Ann")[2:]) == {"c", "d"}


@given(st.permutations([Document(str(i), "eng_Latn", "", i < 3) for i in range(9)]))
def test_that_order_does_not_hang_on_the_rows(documents):
    ids = everything(documents)
    assert ids == everything(sorted(documents, key=lambda d: d.id))
    assert ids[3:] != sorted(ids[3:])
    assert {*ids[:3]} == {"0", "1", "2"}


def test_bytes_that_no_page_can_show(tmp_path):
    run = write_run(tmp_path / "run", [{"id": "a", "language": "eng_Latn", "text": b"half \xed\xa0\x80 nul \x00 end"}])
    assert load_folder(run).documents["a"].text == "half \ufffd\ufffd\ufffd nul \ufffd end"


def test_languages_for_a_page():
    assert page_language("arb_Arab") == {"language": "Arabic", "lang": "ar-Arab", "dir": "rtl"}
    assert page_language("deu_Latn") == {"language": "German", "lang": "de-Latn", "dir": "ltr"}
    assert page_language("heb_Hebr") == {"language": "heb_Hebr", "lang": "heb-Hebr", "dir": "auto"}
    assert page_language('"><script>')["lang"] == "und"


def test_names():
    assert same_name("  ann   lee ", ["Ann Lee", "Bo"]) == "Ann Lee"
    assert same_name("Žofia", []) == "Žofia"
    for bad in ("", "   ", "x" * 61, "a\x00b", "a\ud800"):
        with pytest.raises(InputError, match="expected a name of 1 to 60 printable characters"):
            same_name(bad, [])


def test_folders_that_are_not_ready(tmp_path):
    with pytest.raises(InputError, match="no such run folder; make one with jql truth sample"):
        load_folder(str(tmp_path / "run"))
    with pytest.raises(InputError, match="needs a folder on this machine"):
        load_folder("s3://bucket/run")
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match=r"documents.parquet: not there; make it with jql truth sample"):
        load_folder(str(tmp_path / "run"))
    write_documents(tmp_path / "run", DOCUMENTS)
    with pytest.raises(InputError, match=r"rubric.yaml: not there"):
        load_folder(str(tmp_path / "run"))
    (tmp_path / "run" / "rubric.yaml").write_text("name: x")
    with pytest.raises(RecipeError, match=r"rubric.yaml: .*task: missing"):
        load_folder(str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        ([], InputError, "no documents in it"),
        ([{"id": "a", "language": "eng_Latn", "text": ""}] * 2, DataError, "row 1: id 'a' is also that of row 0"),
        ([{"id": None, "language": "eng_Latn", "text": ""}], DataError, "row 0: id: expected UTF-8 text, got None"),
    ],
)
def test_documents_that_cannot_be_used(tmp_path, documents, error, message):
    with pytest.raises(error, match=message):
        load_folder(write_run(tmp_path / "run", documents))


def test_tables_that_cannot_be_read(tmp_path):
    run = write_run(tmp_path / "run")
    (tmp_path / "run" / "documents.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"documents.parquet: cannot be read as Parquet"):
        read_languages(run)
    table = pa.table({"id": ["a"], "lang": ["eng_Latn"]})
    storage.write_table(run, "documents.parquet", table.schema, [table])
    with pytest.raises(InputError, match="no column language; found id, lang"):
        read_languages(run)


@pytest.mark.parametrize(
    ("ids", "message"), [(["a", "nowhere"], "row 0: rater 'Ann': no document 'nowhere'"), (["a", "a"], "given twice")]
)
def test_assignments_that_cannot_be_followed(tmp_path, ids, message):
    with pytest.raises(DataError, match=message):
        load_folder(write_run(tmp_path / "run", assigned={"Ann": ids}))
