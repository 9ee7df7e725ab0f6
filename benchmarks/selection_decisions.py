"""The decisions of `selection.py`: made-up score files, ours on them, and the same expression in duckdb and polars.

A file is a unit: the tables that annotate, dedup and the documents' side would give it. 40 languages are mixed in it,
1/rank of the documents each, as a crawl brings them; row groups are those of the annotate stage (10,000 rows).
Everything runs in one process on one thread, in turn, file by file; a figure is the median over the files.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jql.annotator.histogram import Bins, Histograms
from jql.engine import storage
from jql.engine.attempt import write_output
from jql.engine.plan import Unit
from jql.engine.stage import Guard
from jql.languages import languages
from jql.schema import CLUSTER, score_schema
from jql.select.cuts import Cuts, LanguageCut
from jql.select.decide import DecisionWorker
from jql.select.verdicts import Rules, weigh

HEADS = ["web", "llama3", "llama31"]
CODES = sorted(languages())[:40]
SHARES = 1 / np.arange(1, 41) / (1 / np.arange(1, 41)).sum()
MEANS = 1.0 + 0.05 * np.arange(40)
QUANTILE = 0.7
CUT = MEANS + 0.5244 * 0.86
"""float64 (40,), of each head: about the quantile, as a score is the language's mean and normal with this spread."""
ROW_GROUP = 10_000


def made_points(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The language's place of each document, int64 (N,), and its scores, float32 (N, H), which agree at about .66."""
    codes_N = rng.choice(40, rows, p=SHARES)
    common_N = MEANS[codes_N] + 0.7 * rng.standard_normal(rows)
    points = [common_N + 0.5 * rng.standard_normal(rows) for _ in HEADS]
    return codes_N, np.stack(points, axis=1).astype(np.float32)


def made_ids(rng: np.random.Generator, rows: int) -> pa.Array:
    """Ids as WARC records have them, of 47 characters."""
    hexes = np.frombuffer(rng.bytes(16 * rows).hex().encode(), np.uint8).reshape(rows, 32)
    text = np.tile(np.frombuffer(b"<urn:uuid:00000000-0000-0000-0000-000000000000>", np.uint8), (rows, 1))
    text[:, np.flatnonzero(text[0] == ord("0"))] = hexes
    offsets = np.arange(rows + 1, dtype=np.int32) * 47
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))


def made_tables(rng: np.random.Generator, rows: int) -> dict[str, pa.Table]:
    """The tables of one unit: SCORE with 1 % without a score, CLUSTER with a third in clusters, and its documents."""
    codes_N, points_NH = made_points(rng, rows)
    ids, languages_N = made_ids(rng, rows), pa.array(CODES).take(pa.array(codes_N))
    reason_N = np.where(rng.random(rows) < 0.01, "duplicate", None)
    missing_N = reason_N != None  # noqa: E711  elementwise
    scores = {"id": ids, "language": languages_N, "reason": pa.array(reason_N, pa.string())}
    scores |= {
        "bytes": rng.lognormal(7.5, 1, rows).astype(np.int64),
        "tokens": rng.lognormal(6, 1, rows).astype(np.int64),
    }
    scores |= {head: pa.array(points_NH[:, h], mask=missing_N) for h, head in enumerate(HEADS)}
    size_N = np.where(rng.random(rows) < 1 / 3, rng.integers(2, 6, rows), 1)
    clusters = {"id": ids, "cluster": rng.integers(0, 2**63, rows).astype(np.uint64), "cluster_size": size_N}
    clusters |= {"representative": rng.random(rows) < 1 / size_N}
    sure_N = (1 - rng.random(rows) ** 4 * 0.6).astype(np.float32)
    documents = {"id": ids, "text": pa.repeat("a text", rows), "language": languages_N, "language_score": sure_N}
    return {
        "scores": pa.table(scores, schema=score_schema(HEADS)),
        "clusters": pa.table(clusters, schema=CLUSTER),
        "documents": pa.table(documents),
    }


def made_unit(folder: Path, index: int, rows: int) -> Unit:
    """The unit of an index, its files written once."""
    names = {name: f"{name}-{index:04d}-{rows}.parquet" for name in ("documents", "scores", "clusters")}
    if not all((folder / name).exists() for name in names.values()):
        for name, table in made_tables(np.random.default_rng(index), rows).items():
            pieces = [table.slice(at, ROW_GROUP) for at in range(0, rows, ROW_GROUP)]
            storage.write_table(str(folder), names[name], table.schema, pieces)
    paths = {name: str(folder / file) for name, file in names.items()}
    where = {"format": "parquet", "path": paths.pop("documents"), "groups": None, "row": 0}
    return Unit(index, where["path"], rows, {**where, **paths})


def made_rules() -> Rules:
    """All of three heads above their cuts; every copy, as an exchange by cluster is another stage."""
    languages = {
        code: LanguageCut(code, "quantile", QUANTILE, np.full(len(HEADS), CUT[i])) for i, code in enumerate(CODES)
    }
    cuts = Cuts(HEADS, "all", QUANTILE, languages, Histograms(HEADS, Bins()))
    return Rules("annotator", "every", tuple(HEADS), None, cuts, 0.5, None)


def decide(unit: Unit, rules: Rules, folder: str | None) -> Any:
    """As a worker does it: read, decided, the table made; written, too, where a folder says to which."""
    started, output = time.monotonic(), DecisionWorker(rules, 1, None, None)(unit, Guard())
    return output if folder is None else write_output(folder, unit, "bench", output, "aligned", started)


def without_clusters(unit: Unit) -> Unit:
    """The unit of a run that had no dedup."""
    return Unit(unit.index, unit.source, unit.weight, {k: v for k, v in unit.payload.items() if k != "clusters"})


EXPRESSION = f"""
    select s.language,
    coalesce(s.reason is null and {" and ".join(f"s.{head} >= c.cut" for head in HEADS)}, false) keep,
    case when s.reason is not null then s.reason
         when {" or ".join(f"s.{head} is null" for head in HEADS)} then 'not_scored'
         when c.cut is null then 'too_few_documents'
         when {" and ".join(f"s.{head} >= c.cut" for head in HEADS)} then null else 'below_cut' end reason
"""
COUNTED = "select count(*) filter (keep), count(reason) from ({})"


class Duckdb:
    """The expression in duckdb, on one thread."""

    def __init__(self) -> None:
        import duckdb

        self.name, self.con = f"duckdb {duckdb.__version__}", duckdb.connect()
        self.con.execute("set threads = 1")
        self.con.register("cut_table", pa.table({"language": CODES, "cut": CUT}))
        self.con.execute("create table cuts as from cut_table")

    def from_files(self, unit: Unit) -> str:
        """The query on a unit's score file."""
        return f"{EXPRESSION} from read_parquet('{unit.payload['scores']}') s left join cuts c using (language)"

    def count(self, unit: Unit) -> tuple[int, int]:
        """What is kept and dropped; nothing else comes out."""
        return self.con.execute(COUNTED.format(self.from_files(unit))).fetchall()[0]

    def write(self, unit: Unit, path: str) -> None:
        """Write language, keep and reason."""
        self.con.execute(f"copy ({self.from_files(unit)}) to '{path}' (format parquet, compression zstd)")

    def write_once(self, unit: Unit, path: str) -> None:
        """The same, and whether an earlier row has the id, as we look for it where there was no dedup."""
        query = self.from_files(unit).replace(" from ", ", row_number() over (partition by id) > 1 again from ", 1)
        self.con.execute(f"copy ({query}) to '{path}' (format parquet, compression zstd)")

    def write_and_count(self, unit: Unit, path: str) -> None:
        """Write them and count what our receipt counts: reasons, bytes, tokens and doubtful ones by language."""
        self.con.execute(
            f"""create or replace temp table decided as {EXPRESSION}, s.bytes, s.tokens, d.language_score
            from read_parquet('{unit.payload["scores"]}') s
            positional join read_parquet('{unit.payload["clusters"]}') k
            positional join read_parquet('{unit.payload["path"]}') d left join cuts c on c.language = s.language"""
        )
        self.con.execute(
            f"copy (select language, keep, reason from decided) to '{path}' (format parquet, compression zstd)"
        )
        self.con.execute(
            """select language, reason, count(*), sum(bytes), sum(tokens), count(*) filter (language_score < 0.5)
            from decided group by all"""
        ).fetchall()

    def load(self, unit: Unit) -> None:
        """Take a unit's scores into memory."""
        columns = ", ".join(["language", "reason", *HEADS])
        self.con.execute(f"create or replace table loaded as select {columns} from '{unit.payload['scores']}'")

    def in_memory(self, made: bool) -> Any:
        """The verdicts on what was loaded: as columns in memory, or only counted."""
        query = f"{EXPRESSION} from loaded s left join cuts c using (language)"
        return self.con.sql(query).to_arrow_table() if made else self.con.execute(COUNTED.format(query)).fetchall()[0]


class Polars:
    """The expression in polars, on one thread."""

    def __init__(self, folder: str) -> None:
        os.environ["POLARS_MAX_THREADS"] = "1"
        sys.path.append(folder)
        import polars

        self.pl, self.name = polars, f"polars {polars.__version__}"
        self.cuts = polars.DataFrame({"language": CODES, "cut": CUT}).lazy()
        self.loaded: Any = None

    def plan(self, frame: Any) -> Any:
        """language, keep and reason of a lazy frame of scores."""
        pl = self.pl
        above = pl.all_horizontal([pl.col(head) >= pl.col("cut") for head in HEADS])
        below = pl.when(above).then(None).otherwise(pl.lit("below_cut"))
        uncut = pl.when(pl.col("cut").is_null()).then(pl.lit("too_few_documents")).otherwise(below)
        unscored = pl.any_horizontal([pl.col(head).is_null() for head in HEADS])
        reason = pl.coalesce("reason", pl.when(unscored).then(pl.lit("not_scored")).otherwise(uncut))
        keep = (pl.col("reason").is_null() & above).fill_null(False)
        return frame.join(self.cuts, on="language", how="left").select(
            "language", keep.alias("keep"), reason.alias("reason")
        )

    def write(self, unit: Unit, path: str) -> None:
        """Write language, keep and reason."""
        self.plan(self.pl.scan_parquet(unit.payload["scores"])).sink_parquet(path, compression="zstd")

    def load(self, unit: Unit) -> None:
        """Take a unit's scores into memory."""
        self.loaded = self.pl.read_parquet(unit.payload["scores"], columns=["language", "reason", *HEADS])

    def in_memory(self) -> Any:
        """The verdicts on what was loaded."""
        return self.plan(self.loaded.lazy()).collect()


Times = dict[str, list[tuple[float, float]]]


def take(times: Times, name: str, work: Callable[[], Any]) -> Any:
    """Do the work and note its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    times.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - cpu))
    return result


def measure_decisions(folder: Path, files: int, rows: int, polars: str | None) -> dict[str, Any]:
    """Rows a second and core of each contender, without input and output and with it."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    rules, out, times, size = made_rules(), folder / "out", {}, []
    out.mkdir(exist_ok=True)
    duck, bear = Duckdb(), Polars(polars) if polars else None
    for index in range(-1, files):  # the first warms all of them up
        unit = made_unit(folder, max(0, index), rows)
        if index == 0:
            times.clear()
        for work in _turns(unit, rules, times, duck, bear, out)[:: 1 if index % 2 else -1]:
            work()
        size.append(os.path.getsize(unit.payload["scores"]) / rows)
    found: dict[str, Any] = {"files": files, "rows_a_file": rows, "languages": 40, "heads": len(HEADS)}
    found |= {"bytes_a_row_of_scores": round(statistics.median(size), 1), "row_group": ROW_GROUP, "rivals": duck.name}
    if bear:
        found["rivals"] += f", {bear.name}"
    for name, taken in sorted(times.items()):
        wall, cpu = (statistics.median(column) for column in zip(*taken, strict=True))
        found[name] = {
            "million_rows_per_cpu_s": round(rows / cpu / 1e6, 2),
            "cpu_s": round(cpu, 4),
            "wall_s": round(wall, 4),
        }
    return found


def _turns(
    unit: Unit, rules: Rules, times: Times, duck: Duckdb, bear: Polars | None, out: Path
) -> list[Callable[[], Any]]:
    """What is done on a file, each a call that notes its times."""
    kept: dict[str, int] = {}

    def note(name: str, work: Callable[[], Any], count: Callable[[Any], int] | None = None) -> Callable[[], None]:
        def run() -> None:
            result = take(times, name, work)
            if count is not None:
                kept[name] = count(result)
                assert len(set(kept.values())) == 1, f"they do not keep alike: {kept}"

        return run

    wanted = ["language", "reason", *HEADS]
    scores = storage.read_table(unit.payload["scores"], wanted, words=("language", "reason"))
    verdicts = weigh(rules, None, scores, None)
    cuts, target = rules.cuts, str(out / "rival.parquet")
    assert cuts is not None
    duck.load(unit)
    turns = [
        note(
            "memory: ours, verdicts on arrays", lambda: cuts.verdicts(verdicts.points, verdicts.codes, verdicts.names)
        ),
        note(
            "memory: ours, table to reasons",
            lambda: weigh(rules, None, scores, None).reasons.to_arrow(),
            lambda reasons: reasons.null_count,
        ),
        note("memory: duckdb, only counted", lambda: duck.in_memory(False), lambda found: found[0]),
        note("memory: duckdb, table to table", lambda: duck.in_memory(True)),
        note("files: ours, not written", lambda: decide(unit, rules, None)),
        note("files: ours", lambda: decide(unit, rules, str(out)), lambda receipt: receipt.accepted),
        note("files: ours, no clusters", lambda: decide(without_clusters(unit), rules, str(out))),
        note("files: duckdb, only counted", lambda: duck.count(unit), lambda found: found[0]),
        note("files: duckdb", lambda: duck.write(unit, target)),
        note("files: duckdb, no clusters", lambda: duck.write_once(unit, target)),
        note("files: duckdb, with our receipt's counts", lambda: duck.write_and_count(unit, target)),
    ]
    if bear is not None:
        bear.load(unit)
        turns.append(note("memory: polars", bear.in_memory, lambda table: table["keep"].sum()))
        turns.append(note("files: polars", lambda: bear.write(unit, target)))
    return turns
