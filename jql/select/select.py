"""The select stage: cuts from histograms, what they will keep from a sample, and then a decision on every document.

counts      tree of merges      the histograms of the whole crawl
sample      per document unit   drawn documents with all that is known of them
near        per document unit   where cuts are to be exact: the scores near them
"""

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from jql.annotator.annotator import Annotator
from jql.annotator.counts import bins_of, merged
from jql.annotator.heads import choose_heads
from jql.annotator.histogram import RANK_ERROR, Histograms
from jql.documents import Documents
from jql.engine.run import StageRun, StageRunner
from jql.errors import RecipeError
from jql.recipe import Recipe
from jql.schema import COUNT
from jql.select.cuts import Cuts
from jql.select.decide import Decider
from jql.select.near import make_exact
from jql.select.outlook import Outlook
from jql.select.rehydrate import Repeats
from jql.select.sample import draw_sample
from jql.select.texts import load_tokenizer, token_rates
from jql.select.verdicts import Rules
from jql.select.where import Where


@dataclass
class Selected:
    """What select has made: decisions, and what is known of them; None where there are no scores.

    Attributes:
        prediction: as of Outlook.predict, made before anything was decided.
        repeats: language -> how often documents are seen, by the size of their cluster; empty where not asked for.
    """

    decisions: StageRun
    cuts: Cuts | None = None
    outlook: Outlook | None = None
    prediction: dict[str, Any] | None = None
    repeats: dict[str, Repeats] = field(default_factory=dict)


def look_ahead(
    recipe: Recipe, run: StageRunner, documents: Documents, clusters: StageRun | None, scores: StageRun
) -> tuple[Outlook, Rules]:
    """What is known of a scored crawl, and the rules with the cuts that the recipe asks for.

    Raises:
        RecipeError: see `rules_of` and `cuts_for`.
    """
    rules = rules_of(recipe, scores, documents)
    annotator = Annotator.load(recipe.annotate.annotator)
    bins = bins_of(annotator)
    counts = merged(run, scores, annotator.heads, bins, "select/counts")
    table = pa.concat_tables([COUNT.empty_table(), *counts.tables()])
    histograms = Histograms.of_table(table, annotator.heads, bins)
    found = {code: histograms.totals(code)["documents"] for code in sorted(histograms.counts)}
    rates = {code: min(1.0, recipe.select.sample / max(1, n)) for code, n in found.items()}
    sample = draw_sample(run, documents, clusters, scores, rules, annotator.heads, rates, recipe.seed)
    tokens = token_rates(documents, sample, recipe.select.tokenizer) if recipe.select.tokenizer else {}
    outlook = Outlook(histograms, sample, {"name": annotator.name, "revision": annotator.revision}, tokens)
    cuts = outlook.cuts(recipe.select.model_copy(update={"heads": rules.heads}))
    if recipe.annotate.cascade is not None and rules.by != "heuristics":
        refuse_held_back(cuts, recipe.annotate.cascade.quantile)
    if recipe.select.exact:
        cuts = make_exact(cuts, run, documents, clusters, scores)
    return outlook, replace(rules, cuts=cuts)


def refuse_held_back(cuts: Cuts, promised: float) -> None:
    """Refuse cuts that would keep some of what a cascade has held back, which has no scores.

    Args:
        promised: the lowest quantile that the cascade was made for.

    Raises:
        RecipeError: a language is cut lower, by whatever it was cut.
    """
    for code, cut in cuts.languages.items():
        if cut.values is None or cut.of not in cuts.histograms.counts:
            continue
        counts_HB = cuts.histograms.counts[cut.of][0]
        if not counts_HB[:, 0].any():  # scored whole
            continue
        bins_H = cuts.histograms.bins.of(cut.values)
        below = min(counts_HB[h, :bin].sum() / counts_HB[h].sum() for h, bin in enumerate(bins_H))
        if (below + RANK_ERROR if cut.quantile is None else cut.quantile) < promised:
            raise RecipeError(
                f"select: {code}, cut by {cut.by}, drops {below:.1%} of its documents by a head, and the cascade has "
                f"held back what cuts at quantile {promised:g} or more would not keep; keep less of it, or lower "
                "annotate.cascade.quantile, which scores anew"
            )


def rules_of(recipe: Recipe, scores: StageRun | None, documents: Documents) -> Rules:
    """The rules of a recipe, before there are cuts.

    Raises:
        RecipeError: no scores though the recipe selects by them, or a rule or head that cannot be.
    """
    wish = recipe.select
    if scores is None and wish.by != "heuristics":
        raise RecipeError(f"select.by: {wish.by} needs scores; add the annotate stage or set select.by=heuristics")
    every = Annotator.load(recipe.annotate.annotator).heads if scores is not None else []
    heads = choose_heads(wish.heads, every, "select.heads") if every else []
    where = Where.parse(wish.where, every) if wish.where else None
    if wish.tokenizer:
        load_tokenizer(wish.tokenizer)  # before a sample is drawn for it
    if scores is None and where is not None and where.score_columns:
        raise RecipeError(
            f"select.where: {', '.join(where.score_columns)} stand with the scores; add the annotate stage"
        )
    return Rules(wish.by, wish.copy_kept, tuple(heads), where, None, wish.doubtful, documents.language)


def run_select(
    recipe: Recipe, run: StageRunner, documents: Documents, clusters: StageRun | None, scores: StageRun | None
) -> Selected:
    """Decide; nothing is decided before every cut is known to be possible.

    Raises:
        RecipeError: see `rules_of` and `cuts_for`.
    """
    wish, rules = recipe.select, rules_of(recipe, scores, documents)
    outlook = prediction = None
    if scores is not None:
        outlook, rules = look_ahead(recipe, run, documents, clusters, scores)
        assert rules.cuts is not None
        prediction = outlook.predict(wish, rules.cuts)
    decider = Decider(recipe, run, documents, clusters, scores, rules)
    repeats = decider.learn() if wish.rehydrate > 1 else {}
    return Selected(decider.decide(repeats), rules.cuts, outlook, prediction, repeats)
