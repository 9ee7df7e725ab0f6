"""The recipe: every setting of jql on one page. The command line, Python and YAML are three views of it.

The string under a field is its documentation; `jql explain STAGE` prints it.
"""

import difflib
import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from jql.errors import RecipeError, one_line
from jql.languages import check_language

StageName = Literal[
    "crawl",
    "dedup",
    "rank",
    "judge",
    "train",
    "annotate",
    "select",
    "export",
    "tokenizer",
    "tokens",
    "pretrain",
    "sweep",
    "ablate",
]
STAGES: tuple[StageName, ...] = get_args(StageName)
USUAL: tuple[StageName, ...] = ("crawl", "dedup", "annotate", "select", "export")

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


_MEANS: Any = {"means": True}  # marks a field that changes how the work is done and not what comes out


class Part(BaseModel):
    """Base of the recipe's parts: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the output, as JSON: all but those marked as mere means."""
        means = {name for name, field in type(self).model_fields.items() if field.json_schema_extra == _MEANS}
        return self.model_dump(mode="json", exclude=means)


class Engine(Part):
    """How units are run; nothing here changes what comes out."""

    backend: Literal["ray", "inline"] = "ray"
    """ray: a pool of actors. inline: this process, one unit after the other, for tests and debuggers."""
    address: str | None = None
    """Address of a Ray cluster, or auto; none starts a Ray on this machine."""
    workers: Positive | None = None
    """Most units worked on at a time; none takes all that this machine or the cluster has room for."""
    tolerate_missing: Share = 0.0
    """Share of a stage's units that may be missing (unreadable inputs) without the run failing."""


class DocumentInput(Part):
    """Documents that come from a folder; not used when the run crawls."""

    path: str | None = None
    """Folder or file of Parquet or JSONL (.jsonl, .jsonl.gz): local, s3://, https:// or hf://datasets/... ."""
    language: str | None = None
    """Where documents have no language column: a code for all of them, or identify."""
    unit_rows: Positive = 30_000
    """Rows of a unit, in whole row groups."""

    @field_validator("language")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value if value in (None, "identify") else check_language(value)


class Crawl(Part):
    """WARC or WET files to documents."""

    input: tuple[str, ...] = Field((), json_schema_extra=_MEANS)
    """WARC or WET files (.warc, .wet, with or without .gz) or folders of them."""
    dump: str | None = None
    """A Common Crawl dump such as CC-MAIN-2025-05, instead of input."""
    kind: Literal["warc", "wet"] = "warc"
    """Which files of the dump: pages, or text that Common Crawl extracted."""
    files: Positive | None = None
    """How many files of the dump, drawn with the recipe's seed; none takes all."""
    base: str = "https://data.commoncrawl.org"
    """Where dumps lie; s3://commoncrawl inside AWS."""
    languages: tuple[str, ...] = ()
    """Languages to keep, as iso639-3_Script; none keeps all."""
    identifier: str = "default"
    """Language identifier: default, a fastText model file, or hf:owner/repo/file."""
    url_filter: bool = True
    """Drop pages whose URL is on datatrove's blocklists."""
    max_bytes: Positive = 10_000_000
    """Pages above this are dropped as too_large."""
    timeout_s: Annotated[float, Field(gt=0)] = Field(10.0, json_schema_extra=_MEANS)
    """Seconds for one page."""

    @field_validator("languages")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_language(code) for code in value)


class Dedup(Part):
    """Near-duplicate clusters: MinHash over word 5-grams, 14 bands of 8, per language; nothing is removed here."""

    partitions: Positive | None = None
    """Parts that the exchange is cut into; none takes one for every 2 GiB of documents."""


class Judge(Part):
    """One language model that judges: at an endpoint, served beside each worker, or from stored replies."""

    model: str = ""
    """Its name, as the endpoint knows it, or the folder or hub id that serve loads."""
    revision: str = ""
    """What else its answers depend on, such as a commit or a quantisation."""
    family: str | None = None
    """Models of one family do not vouch for one another: one of each is recommended; none is the judge's own name."""
    endpoint: str | None = Field(None, json_schema_extra=_MEANS)
    """Base URL of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1."""
    key: str = Field("OPENAI_API_KEY", json_schema_extra=_MEANS)
    """The environment variable that holds the endpoint's key."""
    serve: str | None = Field(None, json_schema_extra=_MEANS)
    """Instead of an endpoint: a command that starts a server beside each worker; {model} and {port} are filled in."""
    gpus: Annotated[float, Field(ge=0)] = Field(0, json_schema_extra=_MEANS)
    """GPUs of each worker with serve."""
    replies: tuple[str, ...] = ()
    """Instead of either: files or folders of stored replies, matched by the document's id; nothing is asked."""
    score: Literal["sampled", "expected"] = "sampled"
    """sampled: answers, parsed by the rubric. expected: mean over the scale by the probability of each label as the
    first token; needs an endpoint with log-probabilities, and the rubric's label_prompt."""
    answers: Positive = 3
    """Sampled answers for each document; 3 as published."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Of sampled answers."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Of sampled answers."""
    max_tokens: Positive = 500
    """Of one sampled answer."""
    extra: dict[str, Any] = {}
    """Further fields of the request, such as chat_template_kwargs."""
    price_in: Annotated[float, Field(ge=0)] = Field(0.0, json_schema_extra=_MEANS)
    """Money for a million tokens of prompts."""
    price_out: Annotated[float, Field(ge=0)] = Field(0.0, json_schema_extra=_MEANS)
    """Money for a million tokens of answers."""

    @model_validator(mode="after")
    def _one_source(self) -> "Judge":
        given = [name for name in ("endpoint", "serve", "replies") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"expected exactly one of endpoint, serve and replies, got {found}")
        if not self.model and not self.replies:
            raise ValueError("model: expected the model's name, got none")
        return self


class Judging(Part):
    """Language models that label documents by a rubric, ranked against human ratings first."""

    rubric: str = "educational"
    """A rubric's YAML file, or the name of one that comes with jql."""
    judges: dict[str, Judge] = {}
    """The candidates: name -> settings, see jql explain judge.judges."""
    truth: str | None = None
    """Ground truth (a TRUTH table, as of jql truth aggregate) that candidates are ranked against."""
    choose: Positive = 3
    """How many candidates ranking recommends, the best of each family."""
    use: tuple[str, ...] = ()
    """Judges that label; none takes those that ranking recommends, or all of them where nothing is ranked."""
    documents: str | None = None
    """Documents to label, where they are not those of the run."""
    per_language: Positive | None = None
    """About how many documents of each language to label, drawn with the recipe's seed; none labels all."""
    rule: Literal["majority", "mean", "median"] = "majority"
    """How one judge's answers for a document become a score; majority: ties go to their mean, as published."""
    max_invalid: Share = 0.1
    """Share of unreadable answers above which a judge is refused."""
    budget_tokens: Positive | None = Field(None, json_schema_extra=_MEANS)
    """Tokens, in and out, after which a judge stops; ranking and labelling are counted apart."""
    budget_money: Annotated[float, Field(gt=0)] | None = Field(None, json_schema_extra=_MEANS)
    """The same in money, by the judge's price_in and price_out."""
    concurrency: Positive = Field(32, json_schema_extra=_MEANS)
    """Requests that each worker has in flight."""
    timeout_s: Annotated[float, Field(gt=0)] = Field(120.0, json_schema_extra=_MEANS)
    """Seconds for one request."""
    retries: Annotated[int, Field(ge=0)] = Field(8, json_schema_extra=_MEANS)
    """Tries after the first, with growing pauses, where a request fails."""

    @model_validator(mode="after")
    def _known_names(self) -> "Judging":
        if unknown := [name for name in self.use if name not in self.judges]:
            raise ValueError(f"use: no judge {', '.join(unknown)}; there are {', '.join(self.judges) or 'none'}")
        free = [name for name, j in self.judges.items() if not j.replies and not (j.price_in or j.price_out)]
        if self.budget_money is not None and free:
            raise ValueError(f"budget_money: needs price_in and price_out of judge {', '.join(free)}; set them")
        return self


class Cascade(Part):
    """A cheap annotator before the big one, which then only scores what could still pass the cut."""

    annotator: str = "edu"
    """The cheap annotator; it scores every document."""
    head: str = ""
    """The head of it that decides; none takes its first."""
    loss: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Most of what the big annotator would keep that may be lost, in each language."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """How sure that must be; a language whose sample cannot support it is scored whole."""
    quantile: Share = 0.6
    """The lowest select.quantile that will be asked for."""
    rule: Literal["all", "any", "majority", "mean"] = "all"
    """The select.rule that will be asked for."""
    heads: tuple[str, ...] = ()
    """The select.heads that will be asked for."""
    sample: Positive = 10_000
    """Documents of each language that both annotators score."""


class Annotate(Part):
    """Scores of every document."""

    annotator: str = "edu"
    """An annotator that comes with jql, a folder or hub id of one, or trained: what this run trains."""
    copies: Literal["every", "one"] = "every"
    """After dedup: score every document, or one of each near-duplicate cluster."""
    cascade: Cascade | None = None
    """A cheap annotator that goes before, see jql explain annotate.cascade; none scores everything."""
    batch: Positive = Field(128, json_schema_extra=_MEANS)
    """Documents tokenized at a time."""
    gpus: Annotated[float, Field(ge=0)] | None = Field(None, json_schema_extra=_MEANS)
    """GPUs of a worker on Ray: 0.5 puts two on one; none takes 1 for a transformer where the cluster has any."""


class Train(Part):
    """An annotator from judged documents; `jql train RECIPE` reads this part."""

    name: str = "annotator"
    """What the annotator is called."""
    judges: dict[str, tuple[str, ...]] = {}
    """Judge -> files or folders of its judgments: text, score, language, and source where documents share one; none
    takes the judge stage's."""
    rubric: str | None = None
    """The rubric's YAML file; it goes into the annotator's folder; none takes judge.rubric where this run judges."""
    low: float = 0.0
    """Lowest label of the rubric."""
    high: float = 5.0
    """Highest label; labels outside are refused."""
    encoder: str = "multilingual-static"
    """The encoder in the box, snowflake-arctic-embed-m-v2.0, gte-multilingual-base, jina-embeddings-v3, or a folder
    or hub id of a sentence-transformers model."""
    long: Literal["truncate", "head+middle+tail", "all"] = "truncate"
    """How a document beyond the encoder's tokens is read."""
    chars: Annotated[int, Field(ge=0)] = 0
    """Most characters read of a document, thirds of its start, centre and end; 0 leaves that to the encoder."""
    surface: bool = False
    """Whether the form of a text (length, lines, signs) joins the embedding."""
    ngrams: Share = 0.0
    """Share of a linear term on character n-grams in each score; 0 for none."""
    parallel: str | None = None
    """Folder of parallel text, a Parquet file a language: the n-gram term learns to score translations alike."""
    hidden: Positive = 1000
    """Hidden units; Linear-ReLU-Linear."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Of AdamW."""
    dropout: Share = 0.0
    """Of hidden units, and half of it of features."""
    batch: Positive = 1024
    """Documents in a step."""
    epochs: Positive = 20
    """At most; the best by validation Spearman is kept."""
    schedule: Literal["cosine", "adaptive"] = "cosine"
    """cosine as published; adaptive for little data: warm up, hold, cool down when validation stops improving."""
    members: Positive = 1
    """Networks averaged into one head."""
    sampling: Literal["natural", "balanced"] = "natural"
    """balanced: every label alike within a language and judge."""
    control_length: bool = False
    """Take what length alone explains (a line on its logarithm) out of the labels before training."""
    validation: Annotated[float, Field(gt=0, lt=0.9)] = 0.1
    """Share of source documents kept apart for the early stop and the figures."""
    refit: bool = False
    """Train again on everything, for as many epochs, once the figures are taken."""
    calibrate: bool = False
    """Map each judge's scores to points, by language: isotonic regression on validation; combinations stay raw."""
    combine: dict[str, dict[str, float]] = {}
    """Further heads: name -> weight of each judge."""
    leave_out: tuple[str, ...] = ()
    """Languages that are not trained on."""
    one_language: bool = False
    """Allow judgments of a single language."""

    @field_validator("leave_out")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_language(code) for code in value)


class Cut(Part):
    """How much of one language is kept: one of these."""

    quantile: Share | None = None
    """Share of the language that every head's cut drops."""
    score: Finite | None = None
    """Every head's cut, in points of the rubric, whatever share that keeps."""
    tokens: Positive | None = None
    """A budget: best first, until about so many tokens are kept."""

    @model_validator(mode="after")
    def _one(self) -> "Cut":
        given = [name for name in ("quantile", "score", "tokens") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of quantile, score and tokens, got {' and '.join(given) or 'none'}")
        return self


class Mixture(Part):
    """A budget over all languages, best first in each."""

    tokens: Positive
    """Tokens of the whole mixture."""
    weights: dict[str, Finite] = {}
    """Language -> its share; they sum to 1, and other languages are left out."""
    alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    """Instead: shares by p^alpha, p a language's share of what the run has; 1 as it is, 0 all alike."""
    epochs: Annotated[float, Field(ge=1)] = 1.0
    """How often a language that is too small for its share may be seen; the manifest says how often that is."""

    @model_validator(mode="after")
    def _one(self) -> "Mixture":
        if bool(self.weights) == (self.alpha is not None):
            raise ValueError(f"expected either weights or alpha, got {'both' if self.weights else 'neither'}")
        if bad := [f"{code}: {share:g}" for code, share in self.weights.items() if share <= 0]:
            raise ValueError(f"weights: expected positive shares that sum to 1, got {', '.join(bad)}")
        if self.weights and abs(sum(self.weights.values()) - 1) > 1e-6:
            total = sum(self.weights.values())
            raise ValueError(f"weights: expected positive shares that sum to 1, got a sum of {total:g}")
        return self


class Select(Part):
    """Keep or drop, per language, with the reason."""

    by: Literal["annotator", "heuristics", "both"] = "annotator"
    """What a document must pass: its scores, the heuristics' thresholds, or both."""
    quantile: Share = 0.7
    """Share of each language that every head's cut drops; 0.6 and 0.7 are the published values."""
    languages: dict[str, Cut] = {}
    """Another cut for a language, or for a group in `shared`: quantile, score or tokens, see jql explain
    select.languages."""
    mixture: Mixture | None = None
    """Instead of quantile, a budget over all languages, see jql explain select.mixture."""
    cuts: str | None = None
    """Instead: cuts.json of another run with this annotator; its values hold here."""
    where: str = ""
    """What else must hold, as SQL over the columns of a document and its scores, such as
    language_score >= 0.8 AND signal_stop_words > 0.1."""
    rule: Literal["all", "any", "majority", "mean"] = "all"
    """How heads agree: all, any, or more than half of them at or above their cut; mean: the mean of their ranks is."""
    heads: tuple[str, ...] = ()
    """The heads that vote; none takes all of the annotator."""
    min_documents: Positive = 20
    """A language with fewer scored documents gets no cut of its own; they are dropped as too_few_documents."""
    groups: dict[str, tuple[str, ...]] = {}
    """Further groups of close languages, which are reported together; three are there, see data/languages.csv."""
    shared: tuple[str, ...] = ()
    """Groups whose languages share one cut."""
    doubtful: Share = 0.5
    """Documents whose language_score is lower are counted apart."""
    exact: bool = False
    """Read the scores near each cut again, so that it is off by nothing; histograms are off by less than a bin."""
    sample: Positive = 10_000
    """Documents of each language that the yield is predicted from."""
    tokenizer: str | None = None
    """The tokenizer that budgets are meant in: a folder or hub id; none is the vocabulary in the box."""
    copy_kept: Literal["best", "longest", "newest", "first", "every"] = Field("best", alias="copy")
    """Which document of a near-duplicate cluster is kept: best by mean rank, longest, newest, first by id, every."""
    rehydrate: Positive = 1
    """How often a document is seen at most, by the size of its cluster: 1, or up to so many times for sizes of which
    little is dropped (FineWeb2's rehydration; 3 to 10 there)."""

    model_config = ConfigDict(populate_by_name=True)

    @field_validator("languages", "groups")
    @classmethod
    def _known(cls, value: dict[str, Any], info: Any) -> dict[str, Any]:
        groups = info.field_name == "groups"
        for code in [code for codes in value.values() for code in codes] if groups else value:
            if groups or "_" in code:  # a cut may be that of a group, which has a name without one
                check_language(code)
        return value


class Export(Part):
    """Kept documents as Parquet by language, with a manifest and a data set card."""

    path: str | None = Field(None, json_schema_extra=_MEANS)
    """Where to; none takes RUN/dataset."""
    order: Literal["input", "shuffled", "sorted"] = "input"
    """input: as they came, and quickest. shuffled by the recipe's seed, or sorted best first: over a whole language."""
    file_documents: Positive = 100_000
    """Documents of a file; in input order those of all languages from one group of inputs."""
    row_group: Positive = 10_000
    """Documents of a row group, at most."""
    repeat: bool = False
    """Write each document as often as select.rehydrate says, instead of saying so in the column repeats."""
    removed: bool = False
    """Write what was dropped, too, with the reason, below removed/."""
    licence: str = ""
    """What the card says of the licence."""


class Tokenizer(Part):
    """A tokenizer, trained on the run's documents or taken from elsewhere."""

    use: str | None = None
    """Instead of training one: a folder or hub id."""
    kind: Literal["bpe", "sentencepiece"] = "bpe"
    """BPE by Hugging Face tokenizers, or by SentencePiece; both fall back to bytes."""
    vocab: Positive = 32_000
    """Pieces, special ones included."""
    languages: tuple[str, ...] = ()
    """Languages to train on; none takes all that the run has."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Shares of languages by p^alpha, p a language's share of characters; 1 as they are, 0 all alike."""
    chars: Positive = 100_000_000
    """Characters to train on, at most."""
    coverage: Annotated[float, Field(gt=0.9, le=1)] = 0.9999
    """Share of the characters of the text that the alphabet covers; the others are spelled in bytes."""
    digits: bool = True
    """Every digit is a piece of its own."""
    spaces: Annotated[int, Field(ge=0, le=64)] = 24
    """Runs of 2 to so many spaces are a piece each; 0 for none."""

    @field_validator("languages")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_language(code) for code in value)


class Tokens(Part):
    """Kept documents as tokens."""

    formats: tuple[Literal["datatrove", "megatron", "modalities"], ...] = ()
    """Files for other trainers: .ds of datatrove and nanotron, .bin and .idx of Megatron, .pbin of Modalities."""
    path: str | None = Field(None, json_schema_extra=_MEANS)
    """Where these go, a folder each; none takes RUN/tokenized."""


class Pretrain(Part):
    """A small decoder (Llama's kind) and how it is trained."""

    hidden: Positive = 256
    """Width of the residual stream."""
    layers: Positive = 6
    """Blocks of attention and feed-forward layer."""
    heads: Positive = 4
    """Attention heads."""
    kv_heads: Positive = 4
    """Heads of keys and values; each serves heads / kv_heads heads."""
    ffn: Positive = 704
    """Units of a feed-forward layer."""
    sequence: Positive = 512
    """Tokens of a sequence."""
    tied: bool = True
    """One matrix for the embeddings and the output layer."""
    tokens: Positive = 10_000_000
    """Tokens trained on, whatever the data set has: a smaller one is seen several times."""
    batch: Positive = 32
    """Sequences of a step."""
    micro_batch: Positive = Field(8, json_schema_extra=_MEANS)
    """Sequences of one pass; less needs less memory."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """At its highest."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """wsd: warm up, stay, and come down in the last fifth."""
    warmup: Share = 0.02
    """Share of the steps in which the rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Of matrices, decoupled; vectors have none."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of matrix products; weights, norms and the loss are float32."""
    compile: bool = Field(False, json_schema_extra=_MEANS)
    """torch.compile."""
    packing: Literal["concatenated", "best_fit"] = "concatenated"
    """How documents become sequences: one after the other, or whole where they fit."""
    mask: bool = False
    """Attention ends where the document begins."""
    workers: Positive = Field(1, json_schema_extra=_MEANS)
    """Processes that share one training (FSDP2), a GPU each where the cluster has any; ablate gives each model one."""
    checkpoint_every: Annotated[int, Field(ge=0)] = Field(200, json_schema_extra=_MEANS)
    """Steps between checkpoints."""


class Evaluate(Part):
    """What models are evaluated on."""

    held_out: Share = 0.0
    """Share of the documents that no tokenizer and no model is trained on: whole clusters, drawn before any cut."""
    documents: Positive = 200
    """Documents of each language and text that bits per byte are taken on, at most."""
    chars: Positive = 2_000
    """Characters read of each."""
    texts: dict[str, str] = {}
    """Further texts: name -> folder of documents, which must not be trained on."""
    languages: tuple[str, ...] = ()
    """Languages to evaluate; none takes all."""
    tasks: tuple[Literal["next_sentence", "word_order"], ...] = ("next_sentence", "word_order")
    """Multiple-choice tasks that are made from the held-out documents."""
    questions: Positive = 100
    """Of each task and language, at most."""
    harness: tuple[str, ...] = ()
    """Further tasks of lm-evaluation-harness by name, such as belebele_deu_Latn; most need a network."""

    @field_validator("languages")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_language(code) for code in value)


class Condition(Part):
    """One of the data sets that are compared: one of these, or none of them for all documents."""

    select: dict[str, Any] | None = None
    """The recipe's select with these fields otherwise; {} for as it is."""
    like: str | None = None
    """The random control of another data set: documents drawn by lot, as many tokens of each language."""
    path: str | None = None
    """A folder of documents, all of which are taken."""

    @model_validator(mode="after")
    def _one(self) -> "Condition":
        given = [name for name in ("select", "like", "path") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of select, like and path at most, got {' and '.join(given)}")
        return self


class Variant(Part):
    """Techniques of a training; none of them for the training as it is."""

    centering: bool = False
    """Mu-centering: the mean row of the output matrix is taken from every row after each step."""
    mu_loss: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Strength of the mu-loss, 0 for none; published 1e-4, which does nothing in a small run."""
    z_loss: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Strength of the z-loss, 0 for none; published 1e-4."""
    tune: Literal["mu_loss", "z_loss"] | None = None
    """The one whose strength is the best of sweep.lambdas, found with a seed of its own."""
    soft_cap: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Cap of the logits, 0 for none; published 30."""
    coupled: bool = False
    """Coupled Adam for the output matrix: its rows share one second moment."""
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Factor of Coupled Adam's second moment."""
    norm: tuple[Literal["rms", "layer", "dyt", "dyisru"], ...] = ("rms",)
    """Norm of all layers, or one for each block and one for the last norm: RMSNorm, LayerNorm, DyT, DyISRU."""

    @field_validator("norm", mode="before")
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_strength(self) -> "Variant":
        if self.tune and getattr(self, self.tune):
            found = f"{self.tune} is to be found, but is set to {getattr(self, self.tune):g}"
            raise ValueError(f"tune: {found}; remove one")
        return self


class Sweep(Part):
    """Small pretraining runs at several learning rates, with and without techniques that are to make them stable."""

    variants: dict[str, Variant] = {}
    """Name -> techniques, see jql explain sweep.variants; {} for none of them."""
    baseline: str | None = None
    """The variant that others are compared with; none takes the first without techniques."""
    learning_rates: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (1e-3, 1e-2, 1e-1)
    """In the place of pretrain.learning_rate."""
    seeds: Positive = 3
    """Models of each variant and learning rate; those of one seed have the same first weights and batches."""
    tokens: Positive | None = None
    """Tokens that each is trained on; none takes pretrain.tokens."""
    lambdas: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (1e-4, 1e-2, 0.1, 100.0)
    """Strengths that are tried where a variant has tune, the same for mu-loss and z-loss."""
    held_out: Positive = 64
    """Sequences of held-out documents that losses and logits are taken on, at most."""

    @model_validator(mode="after")
    def _each_once(self) -> "Sweep":
        for name in ("learning_rates", "lambdas"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: expected each once, got {', '.join(f'{value:g}' for value in values)}")
        if len(self.learning_rates) < 2:
            raise ValueError(f"learning_rates: expected 2 or more, got {len(self.learning_rates)}")
        if self.baseline is not None and self.baseline not in self.variants:
            there = ", ".join(self.variants) or "none"
            raise ValueError(f"baseline: no variant {self.baseline}; there are {there}")
        if not self.lambdas and (needy := [name for name, variant in self.variants.items() if variant.tune]):
            raise ValueError(f"lambdas: expected strengths to try for {needy[0]}, got none")
        return self


class Ablate(Part):
    """Small pretraining runs on several data sets, compared in pairs."""

    conditions: dict[str, Condition] = {}
    """The data sets: name -> what is in it, see jql explain ablate.conditions."""
    seeds: Positive = 3
    """Models of each data set; those of one seed have the same first weights in all."""
    match: Literal["tokens", "steps"] = "tokens"
    """tokens: all data sets are cut down, by lot, to as many tokens of each language as the smallest has of it, so
    that all are seen equally often. steps: each is taken whole, and smaller ones are seen more often."""
    pooled: bool = True
    """One model for all languages; else, as published, one for each."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of intervals and verdicts."""

    @model_validator(mode="after")
    def _known_names(self) -> "Ablate":
        for name, condition in self.conditions.items():
            if condition.like is not None and (condition.like not in self.conditions or condition.like == name):
                others = ", ".join(other for other in self.conditions if other != name)
                raise ValueError(f"conditions.{name}.like: no data set {condition.like}; there are {others or 'none'}")
            if condition.like is not None and self.conditions[condition.like].like is not None:
                raise ValueError(f"conditions.{name}.like: {condition.like} is itself a random control")
        return self


class Recipe(Part):
    """A run from raw input to export."""

    name: str = "run"
    """What the run is called, also in the data set card."""
    output: str = "runs/run"
    """The run folder: local or s3://; every node must see it."""
    stages: tuple[StageName, ...] = USUAL
    """The stages to run, in this order: crawl, dedup, rank, judge, train, annotate, select, export, tokenizer,
    tokens, pretrain, sweep, ablate."""
    seed: int = 0
    """Seed of every draw."""
    engine: Engine = Engine()
    documents: DocumentInput = DocumentInput()
    crawl: Crawl = Crawl()
    dedup: Dedup = Dedup()
    judge: Judging = Judging()
    train: Train = Train()
    annotate: Annotate = Annotate()
    select: Select = Select()
    export: Export = Export()
    tokenizer: Tokenizer = Tokenizer()
    tokens: Tokens = Tokens()
    pretrain: Pretrain = Pretrain()
    evaluate: Evaluate = Evaluate()
    sweep: Sweep = Sweep()
    ablate: Ablate = Ablate()

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if list(self.stages) != [s for s in STAGES if s in self.stages]:
            raise ValueError(
                f"stages: expected a part of {', '.join(STAGES)} in this order, got {', '.join(self.stages)}"
            )
        if not self.stages:
            raise ValueError(f"stages: expected at least one of {', '.join(STAGES)}, got none")
        if "crawl" in self.stages and self.documents.path:
            raise ValueError(
                "documents.path: the run crawls, so it takes no other documents; remove it or the crawl stage"
            )
        if {"rank", "judge"} & set(self.stages) and not self.judge.judges:
            raise ValueError("judge.judges: none; name each judge with its endpoint, server or stored replies")
        if "rank" in self.stages and not self.judge.truth:
            raise ValueError(
                "judge.truth: ranking needs human ratings; name a TRUTH table, or leave rank out of stages"
            )
        if self.annotate.annotator == "trained" and "annotate" in self.stages and "train" not in self.stages:
            raise ValueError("annotate.annotator: trained means what this run trains; add train to stages")
        self._can_be_proven()
        if self.annotate.cascade and {"annotate", "select"} <= set(self.stages) and self.select.by != "heuristics":
            self._cascade_serves(self.annotate.cascade)
        if self.select.rehydrate > 1 and self.select.copy_kept == "every":
            raise ValueError(
                "select.rehydrate: every copy is kept as it is; choose select.copy=best to have one seen again"
            )
        if self.annotate.copies == "one" and self.select.copy_kept not in ("best", "first"):
            raise ValueError(
                f"select.copy: only one of each cluster is scored (annotate.copies: one), so {self.select.copy_kept} "
                "cannot be chosen; set annotate.copies=every or select.copy=first"
            )
        return self

    def _can_be_proven(self) -> None:
        """Whether the stages after the export have what they need."""
        wanted = [name for name in ("tokens", "pretrain", "sweep", "ablate") if name in self.stages]
        if wanted and "tokenizer" not in self.stages and not self.tokenizer.use:
            raise ValueError(f"tokenizer.use: {wanted[0]} needs a tokenizer; name one, or add tokenizer to stages")
        if {"pretrain", "sweep", "ablate"} & set(self.stages) and "://" in self.output:
            raise ValueError(f"output: expected a folder that all workers see, as models lie there, got {self.output}")
        if "ablate" in self.stages:
            scored = "annotate" in self.stages or self.select.by == "heuristics"
            cut = [name for name, found in self.ablate.conditions.items() if found.select is not None]
            by = {name: (self.ablate.conditions[name].select or {}).get("by") for name in cut}
            if not scored and (needy := [name for name in cut if by[name] != "heuristics"]):
                raise ValueError(f"ablate.conditions.{needy[0]}: needs scores; add the annotate stage")

    def _cascade_serves(self, cascade: Cascade) -> None:
        """Whether what a cascade promises is what select asks for."""
        if self.select.quantile < cascade.quantile:
            raise ValueError(
                f"select.quantile: the cascade holds back what quantiles of {cascade.quantile} or more would not keep, "
                f"got {self.select.quantile}; choose a higher one, or set annotate.cascade.quantile, which scores anew"
            )
        for name in ("rule", "heads"):
            mine, its = getattr(self.select, name), getattr(cascade, name)
            if mine != its:
                raise ValueError(
                    f"select.{name}: the cascade was made for {its or 'all heads'}, got {mine or 'all heads'}; choose "
                    f"that, or set annotate.cascade.{name}, which scores anew"
                )


PARTS = {name: field.annotation for name, field in Recipe.model_fields.items() if isinstance(field.annotation, type)}
PARTS = {name: part for name, part in PARTS.items() if issubclass(part, Part)}

INNER: dict[str, type[Part]] = {
    "judge.judges": Judge,
    "annotate.cascade": Cascade,
    "select.languages": Cut,
    "select.mixture": Mixture,
    "sweep.variants": Variant,
    "ablate.conditions": Condition,
}
"""Parts that stand inside of others."""


def load_recipe(path: str, overrides: list[str] | None = None) -> Recipe:
    """The recipe in a YAML 1.2 file, with `a.b=value` overrides (values are YAML).

    Raises:
        RecipeError: no such file, no YAML, or a value that is not allowed; names the key, what was found and expected.
    """
    file = Path(path)
    if not file.is_file():
        from jql.paths import pipelines_dir

        known = sorted(p.name for p in pipelines_dir().glob("*.yaml"))
        raise RecipeError(
            f"{path}: no such recipe; those that come with jql: {', '.join(f'pipelines/{k}' for k in known)}"
        )
    data = parse_yaml(file.read_text(encoding="utf-8"), path) or {}
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: expected a mapping of stages to settings, got {type(data).__name__}")
    return make_recipe(data, overrides, path)


def make_recipe(data: dict[str, Any], overrides: list[str] | None = None, where: str = "recipe") -> Recipe:
    """The recipe of plain values, with overrides.

    Raises:
        RecipeError: see load_recipe.
    """
    for override in overrides or []:
        key, sign, value = override.partition("=")
        if not sign or not key:
            raise RecipeError(f"{override}: expected stage.field=value")
        place = data
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise RecipeError(f"{key}: {parent} is a value, not a stage")
        place[last] = parse_yaml(value, key)
    try:
        return Recipe.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
        raise RecipeError(f"{where}: " + "; ".join(dict.fromkeys(lines))) from None


def parse_yaml(text: str, where: str) -> Any:
    """Plain values of YAML 1.2, in which `no` is a string and 5e-4 a number.

    Raises:
        RecipeError: not YAML; names the line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(io.StringIO(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RecipeError(f"{where}: line {line}: not YAML ({error.problem})") from error
    except YAMLError as error:  # signs that YAML does not allow, such as NUL
        raise RecipeError(f"{where}: not YAML ({one_line(error)})") from error


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every field written out."""
    from ruamel.yaml import YAML

    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None, means a bool
    yaml.dump(recipe.model_dump(mode="json", by_alias=True), out)
    return out.getvalue()


def field_names(part: type[Part]) -> list[str]:
    """The names of a part's fields as they are written in YAML."""
    return [field.alias or name for name, field in part.model_fields.items()]


def _explain(error: Any) -> str:
    """One validation error as: key: expected ..., got ...; what to do."""
    path = ".".join(str(p) for p in error["loc"])
    found, kind, context = error.get("input"), error["type"], error.get("ctx", {})
    if kind == "value_error":
        text = str(context["error"])
        return f"{path}: {text}" if path else text
    if kind == "missing":
        return f"{path}: expected a value, got none"
    if kind == "extra_forbidden":
        *parents, last = [str(p) for p in error["loc"]]
        part: Any = Recipe if not parents else PARTS.get(parents[0], Recipe)
        part = INNER.get(".".join(parents[:2]), part)
        close = difflib.get_close_matches(last, field_names(part), 1, 0.5)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(field_names(part))}"
        return f"{path}: unknown key; {hint}"
    if kind in ("less_than", "greater_than_equal") and ("quantile" in path or "tolerate" in path):
        more = f"; write {found / 100:g}" if isinstance(found, (int, float)) and 1 <= found < 100 else ""
        return f"{path}: expected a share in [0, 1), got {found}{more}"
    if kind == "literal_error":
        close = difflib.get_close_matches(
            str(found), [c.strip("'") for c in context["expected"].replace(" or ", ", ").split(", ")], 1
        )
        return f"{path}: expected {context['expected']}, got {found!r}" + (
            f"; did you mean {close[0]}?" if close else ""
        )
    expected = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{path}: expected {expected}, got {found!r}"
