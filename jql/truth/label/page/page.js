// The rating view: one document at a time, a key for each score.

import { $, ask, Clock, element, fillGuide, fillScores, isTyping, keyOf, makeFlap, say, sentence, showText, trouble } from "./parts.js";

const SETTLE_MS = 300; // a key pressed twice by accident must not rate a document that nobody has read
const clock = new Clock();
let rubric;
let state;
let shownAt = 0;
let busy = false;

const toggleGuide = makeFlap($("show-guide"), $("guide"));

function show(next) {
  state = next;
  const { document: item, progress } = state;
  const { done, total, skipped, older, pilot_done, pilot_total } = progress;
  $("fill").style.width = `${total ? (100 * done) / total : 100}%`;
  $("pilot-end").hidden = !pilot_total || pilot_total >= total;
  $("pilot-end").style.insetInlineStart = `${(100 * pilot_total) / total}%`;
  $("count").textContent = `${done} of ${total}` + (pilot_done < pilot_total ? `, pilot ${pilot_done} of ${pilot_total}` : "");
  $("older").hidden = !older;
  $("older").textContent = `${older} under an older guideline`;
  $("older").title = "These ratings stay as they are, with the version of the guideline they were made by.";
  $("undo").disabled = done === 0;
  for (const button of [...$("scores").children, $("skip")]) button.disabled = !item;
  $("reader").hidden = !item;
  $("finished").hidden = Boolean(item);
  $("pilot").hidden = !item?.pilot;
  $("finished-text").textContent = `${done - skipped} rated, ${skipped} skipped.`;
  document.body.dataset.state = item ? "rating" : "finished"; // first: what is not visible takes no focus
  toggleGuide(false);
  if (item) showText(item);
  shownAt = performance.now();
  clock.start();
}

// Send, and go on with what the server answers; whatever was not stored leaves the page as it is.
async function send(path, body, said) {
  if (busy) return;
  busy = true;
  try {
    show(await ask(path, { rater: state.rater, after: state.after, ...body }));
    trouble(null);
    say(said);
  } catch (error) {
    trouble(error);
    if (error.status === 409) await ask(`state?rater=${encodeURIComponent(state.rater)}`).then(show, trouble);
  } finally {
    busy = false;
  }
}

function rate(score) {
  if (!state.document || performance.now() - shownAt < SETTLE_MS) return;
  send("rate", { id: state.document.id, score, seconds: clock.read() }, `${score} stored`);
}

function undo() {
  if (state.progress.done) send("undo", {}, "Taken back; rate it again");
}

function skip(reason, label, note = "") {
  $("skip-dialog").close();
  const said = `Skipped: ${note || label}`;
  send("skip", { id: state.document.id, reason, note, seconds: clock.read() }, said);
}

function openSkip() {
  if (!state.document || busy) return;
  $("other-form").hidden = true;
  $("other").value = "";
  $("skip-dialog").showModal();
}

function fillReasons(reasons) {
  const choose = ({ reason, label }) => {
    if (reason !== "other") return skip(reason, label);
    $("other-form").hidden = false;
    $("other").focus();
  };
  $("reasons").replaceChildren(...reasons.map((reason, i) => {
    const button = element("button", {}, element("kbd", {}, String(i + 1)), reason.label);
    button.addEventListener("click", () => choose(reason));
    return button;
  }));
  $("skip-dialog").addEventListener("keydown", (event) => {
    const reason = reasons[Number(keyOf(event)) - 1];
    if (event.repeat || isTyping(event) || !reason) return;
    event.preventDefault();
    event.stopPropagation(); // the dialog may be closed by now, and the key is not meant for the document
    choose(reason);
  });
  $("skip-dialog").addEventListener("close", () => $("text").focus({ preventScroll: true }));
  $("other-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if ($("other").value.trim()) skip("other", "", $("other").value.trim());
  });
}

function onKey(event) {
  if (event.repeat || isTyping(event) || $("skip-dialog").open) return;
  const key = keyOf(event);
  const point = rubric.scale.find((p) => p.key === key);
  const action = point ? () => rate(point.score) : { u: undo, s: openSkip, g: () => toggleGuide() }[key];
  if (key === "Escape") toggleGuide(false);
  if (!action) return;
  event.preventDefault();
  action();
}

function welcome({ raters, open }, problem) {
  const go = (name) => (location.search = `?rater=${encodeURIComponent(name)}`);
  document.body.dataset.state = "welcome";
  $("welcome").hidden = false;
  $("welcome-text").textContent = problem ? sentence(problem) : "Raters do not see each other's scores.";
  $("welcome-text").classList.toggle("problem", Boolean(problem));
  $("names").replaceChildren(...raters.map((name) => {
    const button = element("button", {}, name);
    button.addEventListener("click", () => go(name));
    return button;
  }));
  $("name-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if ($("name").value.trim()) go($("name").value.trim());
  });
  $("name-form").hidden = !open;
  if (open) $("name").focus();
}

async function start() {
  const first = await ask("start");
  rubric = first.rubric;
  document.title = `Rate: ${rubric.name}`;
  $("rubric-name").textContent = rubric.name;
  const wanted = new URLSearchParams(location.search).get("rater") ?? first.only;
  if (wanted === null) return welcome(first);
  let found;
  try {
    found = await ask(`state?rater=${encodeURIComponent(wanted)}`);
  } catch (error) {
    if (error.status === 400) return welcome(first, error.message);
    throw error;
  }
  fillGuide(rubric);
  fillScores(rubric.scale, rate);
  fillReasons(first.reasons);
  $("who").textContent = found.rater;
  $("who").disabled = Boolean(first.only);
  $("who").addEventListener("click", () => (location.search = ""));
  $("undo").addEventListener("click", undo);
  $("skip").addEventListener("click", openSkip);
  document.addEventListener("keydown", onKey);
  show(found);
}

start().catch(trouble);
