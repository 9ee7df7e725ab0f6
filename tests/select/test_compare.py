"""Heuristics beside the annotator: every document is compared or left out for a reason, as the decisions say it."""

import json
from collections import Counter
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from conftest import WORDS
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from typer.testing import CliRunner

from jql import cli_select
from jql.annotator.histogram import Bins, Histograms
from jql.cli_select import compare_recipe
from jql.engine.plan import Unit
from jql.engine.progress import console
from jql.engine.run import Run
from jql.engine.stage import Guard
from jql.errors import InputError, RecipeError
from jql.pipeline import run_recipe, walk_to_scores
from jql.recipe import make_recipe
from jql.report.compare import compare_table, comparison, figures, rules_table
from jql.report.differences import differences, sample_lines
from jql.report.summary import Stages
from jql.schema import CLUSTER, score_schema
from jql.select.compare import NO_RULES, PASSED, SIDES, CompareWorker, has_heuristics, run_compare
from jql.select.cuts import Cuts, LanguageCut
from jql.select.verdicts import Rules, judge
from jql.select.where import Where


def documents():
    """Documents in two languages, of which heuristics drop some; copies, a null text, a third language with few."""
    draw = Random(0)
    rows = []
    for i in range(240):
        text = f"Page {i}. " + " ".join(draw.choices(WORDS, k=draw.randint(20, 120))) + "."
        reason = draw.choice(["line_punct_ratio", "[/]top_2_gram"]) if draw.random() < 0.4 else None
        rows.append({"text": text, "language": ("eng_Latn", "deu_Latn")[i % 2], "filter_reason": reason})
    rows += [{**rows[n], "filter_reason": None} for n in range(0, 20, 2)]
    rows += [
        {"text": f"{row['text']} {n}", "language": "isl_Latn", "filter_reason": None} for n, row in enumerate(rows[:5])
    ]
    rows[5]["text"] = None
    rows[7]["text"] = "\x1b[2J\u202e" + rows[7]["text"]
    return [{"id": f"d{n}", **row} for n, row in enumerate(rows)]


def recipe(folder, run="run", stages=("dedup", "annotate", "select"), documents="documents", **more):
    data = {
        "output": str(folder / run),
        "engine": {"backend": "inline"},
        "documents": {"path": str(folder / documents), "unit_rows": 100},
        "stages": list(stages),
        **more,
    }
    return make_recipe(
        {**data, "select": {"heads": ["edu"], "quantile": 0.5, "copy": "every", **more.get("select", {})}}
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    (folder / "documents").mkdir()
    pq.write_table(pa.Table.from_pylist(documents()), folder / "documents" / "a.parquet", row_group_size=100)
    run_recipe(recipe(folder), console(quiet=True))
    return folder


def reasons(folder, by):
    """Why each document of the run is dropped by one side."""
    run_recipe(recipe(folder, select={"by": by}), console(quiet=True))
    log = [json.loads(line) for line in (folder / "run" / "run.log").read_text().splitlines()]
    stage = next(e["folder"] for e in reversed(log) if e["event"] == "stage" and e["stage"] == "select/decisions")
    files = sorted((folder / "run" / stage / "data").rglob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).column("reason").to_pylist()


def test_it_is_what_the_decisions_of_either_side_say(scored):
    found = compare_recipe(recipe(scored), 3)
    clusters = sorted((scored / "run" / "dedup" / "clusters").glob("*/data/**/*.parquet"))
    first = pa.concat_tables([pq.read_table(p) for p in clusters]).column("representative").to_pylist()
    mine, theirs = reasons(scored, "annotator"), reasons(scored, "heuristics")
    expected, left_out = Counter(), Counter()
    for representative, reason, heuristics in zip(first, mine, theirs, strict=True):
        if reason not in (None, "below_cut"):
            left_out[reason] += 1
        elif not representative:
            left_out["duplicate"] += 1
        else:
            expected[SIDES[(reason is None) + 2 * (heuristics is None)]] += 1
    assert {side: entry["documents"] for side, entry in found["total"]["sides"].items()} == expected
    assert sum((Counter(reasons) for reasons in found["left_out"].values()), Counter()) == left_out
    assert left_out["duplicate"] >= 10 and left_out["too_few_documents"] == 5 and left_out["text_null"] == 1
    assert min(expected.values()) > 10 and set(found["languages"]) == {"eng_Latn", "deu_Latn"}
    assert found["total"]["annotator"] == pytest.approx(0.5, abs=0.02) and found["one_copy"]
    sizes = pa.concat_tables(
        [pq.read_table(p) for p in sorted((scored / "run" / "annotate").glob("*/data/*/*.parquet"))]
    )
    compared = [n for n, reason in enumerate(mine) if reason in (None, "below_cut") and first[n]]
    assert found["total"]["tokens"] == sum(sizes.column("tokens").take(pa.array(compared)).to_pylist())


def test_documents_of_each_difference_are_drawn_the_same_again(scored):
    found = compare_recipe(recipe(scored), 3)
    by_id = {row["id"]: row for row in documents()}
    for language, sides in found["samples"].items():
        assert list(sides) == ["annotator", "heuristics"]
        for side, shown in sides.items():
            assert len(shown) == 3
            for one in shown:
                row = by_id[one["id"]]
                assert row["language"] == language and one["reason"] == row["filter_reason"]
                assert (one["reason"] is None) == (side == "heuristics")
                assert one["text"] == row["text"].strip()[:600] and one["more"] == max(
                    0, len(row["text"].strip()) - 600
                )
    assert compare_recipe(recipe(scored), 3) == found == json.loads((scored / "run" / "compare.json").read_text())
    assert compare_recipe(recipe(scored), 0)["samples"] == {}
    other = compare_recipe(recipe(scored, seed=7), 3)
    assert other["samples"] != found["samples"] and other["total"] == found["total"]


def test_what_the_run_has_selected_stays(scored):
    run_recipe(recipe(scored, select={"by": "heuristics"}), console(quiet=True))
    before = {name: (scored / "run" / name).read_bytes() for name in ("recipe.yaml", "summary.json", "cuts.json")}
    made = compare(str(scored / "run"), "--quantile", "0.9")
    assert made.exit_code == 0, made.output
    assert json.loads((scored / "run" / "compare.json").read_text())["total"]["annotator"] == pytest.approx(
        0.1, abs=0.02
    )
    assert {name: (scored / "run" / name).read_bytes() for name in before} == before


def compare(*arguments):
    app = typer.Typer()
    app.command()(cli_select.compare)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_prints_it(scored):
    run = str(scored / "run")
    made = compare(run, "--samples", "2", "--language", "deu_Latn", "--json")
    assert made.exit_code == 0, made.output
    lines = made.output.splitlines()
    assert sum(line.startswith("deu_Latn, only annotator (rank ") for line in lines) == 2
    assert not any(line.startswith("eng_Latn, only") for line in lines)
    assert "[/]top_2_gram" in made.output and "retained tokens relative to FineWeb2" in made.output
    assert json.loads(lines[-1]) == json.loads((scored / "run" / "compare.json").read_text())
    assert "only annotator" not in compare(run).output
    for wrong, said in (
        (("--samples=-1",), "expected 0 or more"),
        (("select.by=both",), "select.by: both cannot be set beside the heuristics"),
        (("--language", "isl_Latn"), "no documents of isl_Latn could be compared; there are deu_Latn, eng_Latn"),
        (("select.mixture={tokens: 100, alpha: 1}", "--quantile", "0.5"), "cut by select.mixture or select.cuts"),
    ):
        error = compare(run, *wrong).exception
        assert isinstance(error, RecipeError) and said in str(error)


def test_a_language_that_is_cut_otherwise_is_named(scored):
    found = compare_recipe(recipe(scored, select={"languages": {"deu_Latn": {"score": 1.0}}}), 0)
    assert found["notes"] == ["cut otherwise, by the recipe: deu_Latn"]
    assert found["languages"]["deu_Latn"]["cut"] == {"by": "score", "quantile": None}


def test_without_scores_or_heuristics_there_is_nothing_to_compare(tmp_path):
    (tmp_path / "documents").mkdir()
    rows = [{k: v for k, v in row.items() if k != "filter_reason"} for row in documents()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "documents" / "b.parquet")
    with pytest.raises(InputError, match=r"run: this run has no scores .* run `jql annotate DOCUMENTS --run RUN`"):
        compare_recipe(recipe(tmp_path, stages=["dedup"]), 1)
    made = recipe(tmp_path, stages=["annotate"])
    with pytest.raises(
        InputError, match=r"b\.parquet\[0:1\]: these documents carry no heuristics \(no filter_reason\)"
    ):
        compare_recipe(made, 1)
    assert not (tmp_path / "run" / "compare.json").exists()


def test_what_was_dropped_may_lie_apart_as_fineweb2_publishes_it(scored, tmp_path):
    for name, dropped in (("deu_Latn", False), ("deu_Latn_removed", True)):
        (tmp_path / "documents" / name).mkdir(parents=True)
        rows = [row for row in documents() if (row["filter_reason"] is not None) == dropped]
        table = pa.Table.from_pylist(rows)
        table = table if dropped else table.drop_columns(["filter_reason"])
        pq.write_table(table, tmp_path / "documents" / name / "a.parquet")
    found = compare_recipe(recipe(tmp_path), 3)
    together = compare_recipe(recipe(scored), 3)
    assert found["total"] == together["total"] and found["left_out"] == together["left_out"]
    [note] = found["notes"]
    assert note.startswith(
        f"{sum(r['filter_reason'] is None for r in documents())} documents lie in files without a filt"
    )


def test_jsonl_may_have_the_field_in_some_lines_or_none(tmp_path):
    rows = [row for row in documents() if row["text"]]
    for name, known in (("with", True), ("without", False)):
        (tmp_path / name).mkdir()
        kept = [{k: v for k, v in row.items() if v is not None and (known or k != "filter_reason")} for row in rows]
        (tmp_path / name / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    found = compare_recipe(recipe(tmp_path, "one", ["annotate"], "with"), 1)
    assert found["total"]["documents"] == len(rows) - 5 and not found["one_copy"]
    assert 0.5 < found["total"]["heuristics"] < 0.8
    with pytest.raises(InputError, match=r"a\.jsonl: these documents carry no heuristics"):
        compare_recipe(recipe(tmp_path, "two", ["annotate"], "without"), 1)


def test_a_crawl_asks_no_heuristics_where_there_are_no_thresholds(tmp_path):
    assert has_heuristics("deu_Latn") and not has_heuristics("jpn_Jpan") and not has_heuristics("xxx_Latn")
    (tmp_path / "documents").mkdir()
    kept = {"language": "jpn_Jpan", "filter_reason": None}
    rows = [{**row, **(kept if row["language"] == "deu_Latn" else {})} for row in documents()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "documents" / "a.parquet")
    made = recipe(tmp_path, stages=["annotate", "select"])
    stages = Stages()
    with Run(made.output, made.engine) as run:
        units, _ = walk_to_scores(made, run, stages)
        foreign = run_compare(made, run, units, None, stages.scores)
        crawled = made.model_copy(update={"stages": ("crawl", *made.stages)})
        ours = run_compare(crawled, run, units, None, stages.scores)
    assert set(foreign.counts) == {"eng_Latn", "jpn_Jpan"}
    assert comparison(foreign, {})["notes"] == [
        "heuristics drop nothing in jpn_Jpan: were they asked, and are the documents all that they were asked of?"
    ]
    assert set(ours.counts) == {"eng_Latn"} and comparison(ours, {})["notes"] == []
    assert ours.left_out["jpn_Jpan"][NO_RULES] == sum(v[:, 0].sum() for v in foreign.counts["jpn_Jpan"].values()) == 119
    assert set(differences(ours, units, 1, 0)) == {"eng_Latn"}


def test_tokens_are_those_of_the_tokenizer_that_the_recipe_names(scored, tmp_path):
    letters = Tokenizer(BPE({"?": 0}, [], unk_token="?"))  # a token a letter
    letters.save(str(tmp_path / "tokenizer.json"))
    made = recipe(scored, select={"tokenizer": str(tmp_path / "tokenizer.json")})
    plain, other = compare_recipe(recipe(scored), 0), compare_recipe(made, 0)
    ratio = other["total"]["tokens"] / plain["total"]["tokens"]
    assert ratio > 2 and other["total"]["documents"] == plain["total"]["documents"]
    assert other["languages"]["deu_Latn"]["gain"] == pytest.approx(plain["languages"]["deu_Latn"]["gain"], abs=1e-3)


HEADS, LANGUAGES = ["g", "h"], ["deu_Latn", "isl_Latn", "kat_Geor"]
row = st.fixed_dictionaries(
    {
        "language": st.sampled_from(LANGUAGES),
        "filter_reason": st.sampled_from([None, None, "dup_line_frac", "top_2_gram", ""]),
        "language_score": st.sampled_from([0.1, 0.9]),
        "reason": st.sampled_from([None, None, None, "cascade", "empty", "score_crash"]),
        "representative": st.sampled_from([True, True, False, None]),
        "tokens": st.integers(0, 1000),
        "points": st.tuples(st.floats(0, 4), st.floats(0, 4)),
    }
)


def unit_of(folder, rows, clustered):
    """A unit with the tables beside it."""
    ids = [f"d{i}" for i in range(len(rows))]

    def column(name, kind):
        return pa.array([r[name] for r in rows], kind)

    table = {"id": ids, "text": ["x"] * len(rows), "language": column("language", pa.string())}
    table |= {"filter_reason": column("filter_reason", pa.string())}
    table |= {"language_score": column("language_score", pa.float32())}
    pq.write_table(pa.table(table), folder / "documents.parquet")
    scores = {"id": ids, "language": table["language"], "reason": column("reason", pa.string())}
    scores |= dict.fromkeys(["bytes", "tokens"], column("tokens", pa.int64()))
    scores |= {h: pa.array([None if r["reason"] else r["points"][i] for r in rows]) for i, h in enumerate(HEADS)}
    pq.write_table(pa.table(scores).cast(score_schema(HEADS)), folder / "scores.parquet")
    representative = column("representative", pa.bool_())
    clusters = {"id": ids, "cluster": np.arange(len(rows)), "cluster_size": np.ones(len(rows), int)}
    pq.write_table(pa.table({**clusters, "representative": representative}).cast(CLUSTER), folder / "clusters.parquet")
    paths = {name: str(folder / f"{name}.parquet") for name in (["scores", "clusters"] if clustered else ["scores"])}
    path = str(folder / "documents.parquet")
    return Unit(0, path, 0, {"format": "parquet", "path": path, "groups": None, "row": 0, **paths})


@given(st.lists(row, max_size=40), st.booleans(), st.sampled_from(["", "language_score > 0.5"]))
@settings(max_examples=40)
def test_every_document_is_on_one_side_or_left_out(tmp_path_factory, rows, clustered, where):
    unit = unit_of(tmp_path_factory.mktemp("unit"), rows, clustered)
    values = {code: LanguageCut(code, "score", None, np.array([2.0, 1.0])) for code in LANGUAGES[:2]}
    values["kat_Geor"] = LanguageCut("kat_Geor", "quantile", 0.5, None)
    cuts = Cuts(HEADS, "all", 0.5, values, Histograms(HEADS, Bins()))
    rules = Rules("annotator", "best", tuple(HEADS), Where.parse(where, HEADS) if where else None, cuts, 0.5, None)
    output = CompareWorker(rules)(unit, Guard())
    expected, left_out = {}, Counter()
    mine = judge(unit, rules).reasons.to_list()
    for document, reason in zip(rows, mine, strict=True):
        if where and document["language_score"] < 0.5 and reason in ("cascade", "below_cut"):
            reason = "where"
        if reason in (None, "below_cut", "cascade") and clustered and not document["representative"]:
            reason = "duplicate"
        if reason not in (None, "below_cut", "cascade"):
            left_out[document["language"], reason] += 1
            continue
        rule = {None: PASSED, "": "unnamed"}.get(document["filter_reason"], document["filter_reason"])
        entry = expected.setdefault(document["language"], {}).setdefault(rule, [[0, 0], [0, 0]])
        entry[reason is None][0] += 1
        entry[reason is None][1] += document["tokens"]
    assert output.stats["counts"] == expected
    assert {(code, r): n for code, by in output.stats["left_out"].items() for r, n in by.items()} == left_out
    assert output.rows_in == len(rows) and not output.tables


cube = st.dictionaries(
    st.sampled_from([PASSED, "dup_line_frac", "top_2_gram"]),
    st.lists(st.integers(0, 1000), min_size=4, max_size=4).map(lambda v: np.array(v, np.int64).reshape(2, 2)),
)


@given(cube)
def test_figures_are_shares_of_what_is_there(by_rule):
    found = figures(by_rule)
    sides = {side: entry["documents"] for side, entry in found["sides"].items()}
    assert sum(sides.values()) == found["documents"] == sum(int(v[:, 0].sum()) for v in by_rule.values())
    assert sum(entry["tokens"] for entry in found["sides"].values()) == found["tokens"]
    for name in ("annotator", "heuristics", "overlap", "chance"):
        assert found[name] is None or 0 <= found[name] <= 1
    assert sum(entry["kept"] for entry in found["rules"].values()) == sides["annotator"]
    assert sum(entry["documents"] for entry in found["rules"].values()) == sides["annotator"] + sides["neither"]
    if found["chance"] is not None and sides["neither"] == 0:
        assert found["overlap"] <= found["chance"] + 1e-12  # at least one keeps each: they avoid one another


def test_independent_sides_overlap_by_chance():
    found = figures({PASSED: np.array([[30, 300], [30, 600]]), "top_2_gram": np.array([[20, 100], [20, 300]])})
    assert found["overlap"] == pytest.approx(30 / 80) == found["chance"]
    assert found["gain"] == 0 and found["annotator"] == 0.5 and found["heuristics"] == 0.6
    assert figures({})["gain"] is None


def test_tables_of_much_and_of_nothing(scored):
    found = compare_recipe(recipe(scored), 0)
    order = sorted(found["languages"], key=lambda code: -found["languages"][code]["gain"])
    cells = list(compare_table(found).columns[0].cells)
    assert cells == [*order, "all", "mean"]
    many = {f"rule_{i:02d}": {"documents": 10, "kept": 20 - i, "kept_tokens": 5} for i in range(20)}
    names = [str(cell) for cell in rules_table({**found["total"], "rules": many}).columns[0].cells]
    assert names[:2] == ["rule_00", "rule_01"] and names[-2:] == ["8 others", "passed by all"]
    nothing = {**found, "total": figures({}), "languages": {}, "mean": dict.fromkeys(found["mean"]), "notes": []}
    assert list(compare_table(nothing).columns[0].cells) == ["all"]


def test_what_a_terminal_would_obey_is_taken_out():
    shown = {"text": "\x1b[2Jred \u202eevil [bold]x[/]", "rank": 0.5, "reason": "gopher_rep"}
    held_back = {"text": "x", "rank": None, "reason": None}
    lines = sample_lines("eng_Latn", {"annotator": [shown], "heuristics": [held_back]})
    assert lines == [
        "eng_Latn, only annotator (rank 0.50, gopher_rep): [2Jred evil [bold]x[/]",
        "eng_Latn, only heuristics (no score): x",
    ]
