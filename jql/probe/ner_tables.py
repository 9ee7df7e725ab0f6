"""A finished probe for a terminal."""

from rich.table import Table

from jql.probe.ner import Figures, Probed


def probe_table(probed: Probed) -> Table:
    """A row a type and one for all; below, the epochs and what was left out."""
    used = probed.sentences
    title = f"{probed.model}: entities of {used['test']:,} sentences, trained on {used['train']:,}"
    table = Table(title=title, title_justify="left", caption=_caption(probed), caption_justify="left")
    for name in ("type", "precision", "recall", "F1", "entities"):
        table.add_column(name, justify="left" if name == "type" else "right")
    for name, row in probed.test.types.items():
        figures = (row["precision"], row["recall"], row["f1"])
        table.add_row(name, *(f"{value:.3f}" for value in figures), f"{row['support']:,.0f}")
    all_ = probed.test
    table.add_section()
    table.add_row("all", *(f"{v:.3f}" for v in (all_.precision, all_.recall, all_.f1)), f"{all_.entities:,}")
    return table


def _caption(probed: Probed) -> str:
    schedule, rate = probed.settings["schedule"], probed.settings["learning_rate"]
    lines = [
        f"epoch {probed.best} of {len(probed.history)}, the best by validation loss ({schedule}, {rate:g}); "
        f"after the last one F1 is {probed.last.f1:.3f}"
    ]
    if probed.validation:
        lines.append(f"validation F1 {probed.validation.f1:.3f}")
    lines.append(_inconsistent(probed.test))
    for found, words in ((probed.cut, "beyond the longest sequence"), (probed.unspelled, "the tokenizer leaves out")):
        if any(found.values()):
            counts = ", ".join(f"{count:,} of {name}" for name, count in found.items() if count)
            lines.append(f"words {words}: {counts}; they count as O")
    return "\n".join(lines)


def _inconsistent(found: Figures) -> str:
    if not found.inconsistent:
        return "F1 by seqeval, exact entities"
    without = f"{found.inconsistent:,} begin with I- and count; without them it is {found.f1_consistent:.3f}"
    return f"F1 by seqeval, exact entities; of those predicted {without}"
