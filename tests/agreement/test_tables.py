"""Tables: every language, figure and gap is in them."""

from agreement_help import FEW, rendered, sample

from jql.agreement.evaluate import evaluate
from jql.agreement.tables import evaluation_table, language_table


def test_tables_show_every_language_figure_and_gap():
    scores, judged = sample()
    result = evaluate(scores, *judged, FEW)
    text = rendered(language_table(result, "t"))
    assert all(word in text for word in ("deu_Latn", "fra_Latn", "mlt_Latn: 10 labelled", "dan_Latn: all 25", "pooled"))
    assert f"{result['languages']['fra_Latn']['figures']['mae']['value']:.3f}" in text
    spearman = result["macro"]["figures"]["spearman"]
    text = rendered(evaluation_table(result, "t"))
    assert f"{spearman['value']:.3f} [{spearman['low']:.3f}, {spearman['high']:.3f}]" in text
    assert "mean of 2 languages" in text and "precision at top 10%" in text
