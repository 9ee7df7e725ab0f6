// What both pages are made of: elements, requests, keys, the guideline, the clock.

import { markdown } from "./markdown.js";

export const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: no answer at all
  }
}

// Ask the server; with a body, by POST. The address of the page holds the token, so paths are relative.
export async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(`api/${path}`, options);
  } catch {
    throw new Refusal(0, "the server does not answer");
  }
  const value = await answer.json().catch(() => ({ error: `the server failed (${answer.status})` }));
  if (!answer.ok) throw new Refusal(answer.status, value.error);
  return value;
}

// A message of the server without the field it is about, which says nothing to a rater.
export function sentence(message) {
  const text = message.replace(/^[a-z]+: /, "");
  return text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}

// What went wrong stays on the page until something goes right.
export function trouble(error) {
  if (error && !(error instanceof Refusal)) throw error;
  const text = error?.status === 0
    ? "The server does not answer, so this may not be stored. Start jql label again and open the address it prints; all before is stored"
    : error?.message;
  $("trouble").hidden = !text;
  $("trouble").textContent = text ? sentence(text) : "";
}

let quiet;
export function say(text) {
  $("said").textContent = text;
  $("said").classList.add("shown");
  clearTimeout(quiet);
  quiet = setTimeout(() => $("said").classList.remove("shown"), 4000);
}

// The key that was meant: a digit by its place on the keyboard too, a letter by its place under other scripts.
export function keyOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return "";
  const digit = event.code.match(/^(?:Digit|Numpad)([0-9])$/);
  if (digit) return digit[1];
  const letter = event.code.match(/^Key([A-Z])$/);
  if (letter && !/^[a-z]$/i.test(event.key)) return letter[1].toLowerCase();
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

export function isTyping(event) {
  return event.target.matches("input:not([type=checkbox]), select");
}

export function fillScores(scale, choose) {
  $("scores").replaceChildren(...scale.map(({ score, key, meaning }) => {
    const button = element("button", { className: "score", title: `${score}: ${meaning}` }, String(score));
    if (key !== String(score) && key) button.append(element("kbd", {}, key));
    button.addEventListener("click", () => choose(score));
    return button;
  }));
}

export function fillGuide(rubric) {
  const guide = $("guide");
  guide.lang = rubric.lang;
  guide.dir = rubric.dir;
  const scale = element("dl", { className: "scale" });
  for (const { score, meaning } of rubric.scale) {
    scale.append(element("div", {}, element("dt", {}, String(score)), element("dd", {}, meaning)));
  }
  guide.replaceChildren(element("h2", { className: "task" }, rubric.task), scale);
  if (rubric.guideline.trim()) {
    const text = element("div", { className: "prose" });
    text.append(markdown(rubric.guideline));
    guide.append(text);
  }
  if (!rubric.examples.length) return;
  guide.append(element("h3", {}, "Examples"));
  for (const { text, score, why } of rubric.examples) {
    guide.append(element("figure", { className: "example" },
      element("blockquote", { dir: "auto" }, text),
      element("figcaption", {}, element("span", { className: "mark" }, String(score)), element("span", {}, why))));
  }
}

// On a narrow screen the guideline and the list lie over the document and come and go.
export function makeFlap(button, flap) {
  const toggle = (open = !flap.classList.contains("open")) => {
    if (open === flap.classList.contains("open")) return;
    flap.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
    (open ? flap : $("text")).focus({ preventScroll: true });
  };
  button.addEventListener("click", () => toggle());
  return toggle;
}

export function showText({ text, lang, dir, language }) {
  const box = $("text");
  box.lang = lang;
  box.dir = dir;
  box.textContent = text;
  box.scrollTop = 0;
  // The keys of scrolling go to the text, unless somebody is typing at this moment.
  if (!document.activeElement?.matches("input:not([type=checkbox])")) box.focus({ preventScroll: true });
  $("language").textContent = language;
}

// Seconds since the start, while the page could be seen.
export class Clock {
  #seconds = 0;
  #since = null;

  constructor() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stop() : this.#go()));
  }

  start() {
    this.#seconds = 0;
    this.#since = null;
    if (!document.hidden) this.#go();
  }

  read() {
    const running = this.#since === null ? 0 : (performance.now() - this.#since) / 1000;
    return Math.min(86400, Number((this.#seconds + running).toFixed(3)));
  }

  #go() {
    this.#since ??= performance.now();
  }

  #stop() {
    this.#seconds = this.read();
    this.#since = null;
  }
}
