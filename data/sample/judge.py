"""Made-up raters and made-up judges for the sample pages, in the formats of real ones.

    python data/sample/judge.py data/sample/pages data/sample/judged

Every page carries one score by its author. A rater gives it with an error of their own; a judge is a language model
that nobody asked: its replies are sentences with a score that errs more or less, for some judges in a form that cannot
be read. All of it says `origin: synthetic`; nothing can be concluded from it about real people or models.
"""

import json
import random
import sys
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from jql.crawl.extract import extract_text
from jql.rubric import load_rubric

RATERS = {"rater-1": (0.0, 0.5), "rater-2": (0.3, 0.6), "rater-3": (-0.2, 0.7)}
RATED = 0.3  # share of the pages that raters see in languages with few of them; of the others all
MANY = 20
ANSWERS = 3


@dataclass(frozen=True)
class MadeUpJudge:
    """How a judge errs: its offset, the spread of its errors in points, and how often it forgets the last line."""

    offset: float
    error: float
    mute: float = 0.0


JUDGES = {
    "alder-large": MadeUpJudge(0.7, 0.8),
    "alder-small": MadeUpJudge(0.3, 1.0, 0.02),
    "birch": MadeUpJudge(0.1, 0.9),
    "cedar": MadeUpJudge(-0.2, 1.3, 0.01),
    "dogwood": MadeUpJudge(0.0, 1.8, 0.45),
}
REMARKS = (
    "The text keeps to its subject and says it in order.",
    "There is some information here, though much of the page is about other things.",
    "It reads like a page that wants to be clicked rather than read.",
    "A learner could follow most of it.",
    "Little of this would help in a lesson.",
)


def pages(folder: Path) -> list[dict[str, Any]]:
    """Id, text, language and the author's score of every page; ids as in the WARC files of wrap.py."""
    yaml = YAML(typ="safe")
    found = []
    for path in sorted(folder.glob("*.yaml")):
        for page in yaml.load(path.read_text(encoding="utf-8")):
            name = uuid.uuid5(uuid.NAMESPACE_URL, f"https://{path.stem[:3]}.sample.example/{page['slug']}")
            text = extract_text(page["html"]).replace("\x00", "").strip()
            if text:
                known = {"language": page["language"], "score": page["score"], "text": text}
                found.append({"id": f"urn:uuid:{name}", **known})
    return found


def points(score: int, offset: float, error: float, draw: random.Random) -> int:
    """A score with an error, on the scale from 0 to 5."""
    return max(0, min(5, round(score + draw.gauss(offset, error))))


def ratings(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """RATING rows with the text: three raters, the same share of the pages."""
    guideline = load_rubric("educational").guideline_version
    held = Counter(page["language"] for page in found)
    rows = []
    for page in found:
        if held[page["language"]] < MANY and random.Random(page["id"]).random() >= RATED:
            continue
        for rater, (offset, error) in RATERS.items():
            score = points(page["score"], offset, error, random.Random(f"{page['id']} {rater}"))
            known = {name: page[name] for name in ("id", "language", "text")}
            rows.append({**known, "rater": rater, "score": score, "guideline": guideline, "origin": "synthetic"})
    return rows


def replies(found: list[dict[str, Any]], name: str, judge: MadeUpJudge) -> list[dict[str, Any]]:
    """REPLY rows: three answers a page."""
    rows = []
    for page in found:
        for answer in range(ANSWERS):
            draw = random.Random(f"{page['id']} {name} {answer}")
            score = points(page["score"], judge.offset, judge.error, draw)
            text = draw.choice(REMARKS)
            if draw.random() >= judge.mute:
                text += f"\n\nEducational score: {score}"
            spent = {"tokens_in": len(page["text"]) // 4 if answer == 0 else 0, "tokens_out": len(text) // 4}
            known = {"id": page["id"], "answer": answer, "text": text, "finish": "stop", "model": f"made-up {name}"}
            rows.append({**known, **spent, "seconds": 0.0, "retries": 0, "origin": "synthetic"})
    return rows


def main(source: Path, target: Path) -> None:
    """Write ratings.jsonl and a file of replies for every judge."""
    found = pages(source)
    files = {"ratings.jsonl": ratings(found)}
    files |= {f"replies/{name}.jsonl": replies(found, name, judge) for name, judge in JUDGES.items()}
    for file, rows in files.items():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (target / file).write_text(content, encoding="utf-8")
    rated = len({row["id"] for row in files["ratings.jsonl"]})
    what = f"{len(RATERS)} raters of {rated} pages, {len(JUDGES)} judges of {len(found)}"
    print(f"origin: synthetic; {what}, below {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
