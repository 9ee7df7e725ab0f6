// The adjudicator's view: what raters disagree on, their scores without their names, and a final score.

import { $, ask, Clock, element, fillGuide, fillScores, isTyping, keyOf, makeFlap, say, showText, trouble } from "./parts.js";

const SETTLE_MS = 300; // as in page.js
const clock = new Clock();
let rubric;
let found = { after: 0, documents: [] };
let current = null; // id of the document shown
let shownAt = 0;
let busy = null; // the promise of what is being done

const toggleGuide = makeFlap($("show-guide"), $("guide"));
const toggleList = makeFlap($("show-list"), $("disputes"));
const item = () => found.documents.find(({ id }) => id === current);
const marks = (scores) => scores.map((score) => element("span", { className: "mark" }, String(score)));

async function load() {
  found = await ask(`disputes?spread=${$("spread").value}&majority=${$("majority").checked}`);
  const decided = found.documents.filter(({ final }) => final !== null).length;
  $("fill").style.width = `${found.documents.length ? (100 * decided) / found.documents.length : 0}%`;
  $("count").textContent = `${decided} of ${found.documents.length} decided`;
  $("finished-text").textContent = found.rated
    ? `Raters agree on all ${found.rated} documents that two or more of them have rated, as far as asked for.`
    : "No document has been rated by two or more people yet.";
}

// Show a document, or the first that is not decided.
async function open(id) {
  const { documents } = found;
  current = (documents.find((d) => d.id === id) ?? documents.find((d) => d.final === null) ?? documents[0])?.id ?? null;
  $("list").replaceChildren(...documents.map((d) => {
    const button = element("button", { className: d.final === null ? "" : "decided" },
      element("span", { className: "given" }, ...marks(d.scores)), element("span", { className: "note" }, d.language));
    if (d.final !== null) button.append(element("span", { className: "mark final", title: "Final score" }, String(d.final)));
    if (d.id === current) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => act(() => open(d.id)));
    return element("li", {}, button);
  }));
  const shown = item();
  $("reader").hidden = !shown;
  $("finished").hidden = Boolean(shown);
  for (const button of $("scores").children) {
    button.disabled = !shown;
    button.classList.toggle("chosen", Boolean(shown) && button.firstChild.data === String(shown.final));
  }
  $("undo").disabled = !found.after;
  $("note").value = shown?.note ?? "";
  $("note").disabled = !shown;
  toggleList(false);
  if (shown) {
    const skips = shown.skips.map((why) => `skipped: ${why.replaceAll("_", " ")}`);
    $("given").replaceChildren(...marks(shown.scores), ...skips.map((text) => element("span", { className: "note" }, text)));
    const text = await ask(`document?id=${encodeURIComponent(current)}`);
    document.body.dataset.state = "deciding"; // first: what is not visible takes no focus
    showText(text);
    $("list").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }
  shownAt = performance.now();
  clock.start();
  if (!shown) document.body.dataset.state = "finished";
}

async function run(work) {
  document.body.dataset.state = "busy";
  try {
    const said = await work();
    trouble(null);
    if (said) say(said);
  } catch (error) {
    trouble(error);
    if (error.status === 409) await load().then(() => open(current)).catch(trouble);
    document.body.dataset.state = "deciding";
  }
}

// Do one thing at a time, and say what it returns; a key pressed meanwhile is not heard.
function act(work) {
  return (busy ??= run(work).finally(() => (busy = null)));
}

async function filter() {
  while (busy) await busy;
  act(async () => { await load(); await open(current); });
}

function decide(score) {
  if (!item() || performance.now() - shownAt < SETTLE_MS) return;
  const sent = { id: current, score, note: $("note").value, seconds: clock.read(), after: found.after };
  act(async () => {
    await ask("decide", sent);
    await load();
    const at = found.documents.findIndex((d) => d.id === current);
    const rest = [...found.documents.slice(at + 1), ...found.documents.slice(0, at)].find((d) => d.final === null);
    await open(rest?.id ?? current);
    return rest ? `${score} stored` : `${score} stored; all are decided`;
  });
}

function undo() {
  act(async () => {
    const { id } = await ask("undo", { after: found.after });
    await load();
    await open(id);
    return "Taken back; decide it again";
  });
}

function step(by) {
  const at = found.documents.findIndex((d) => d.id === current) + by;
  if (found.documents[at]) act(() => open(found.documents[at].id));
}

function onKey(event) {
  if (event.key === "Escape" || (event.key === "Enter" && event.target === $("note"))) {
    toggleGuide(false);
    toggleList(false);
    $("text").focus({ preventScroll: true });
    return;
  }
  if (event.repeat || isTyping(event)) return;
  const key = keyOf(event);
  const point = rubric.scale.find((p) => p.key === key);
  const others = { u: undo, j: () => step(1), k: () => step(-1), n: () => $("note").focus(), g: () => toggleGuide(), l: () => toggleList() };
  const action = point ? () => decide(point.score) : others[key];
  if (!action) return;
  event.preventDefault();
  action();
}

async function start() {
  ({ rubric } = await ask("start"));
  document.title = `Adjudicate: ${rubric.name}`;
  $("rubric-name").textContent = `Adjudicate: ${rubric.name}`;
  const widest = rubric.scale.at(-1).score - rubric.scale[0].score;
  const spreads = Array.from({ length: widest }, (_, i) => i + 1);
  $("spread").replaceChildren(...spreads.map((by) => element("option", { value: by, selected: by === Math.min(2, widest) }, String(by))));
  fillGuide(rubric);
  fillScores(rubric.scale, decide);
  $("spread").addEventListener("change", filter);
  $("majority").addEventListener("change", filter);
  $("undo").addEventListener("click", undo);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  document.addEventListener("keydown", onKey);
  await load();
  await open(null);
}

start().catch(trouble);
