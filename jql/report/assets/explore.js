// A slider for the cut of each language. What it keeps is asked from the server, which alone computes it.

"use strict";

(() => {
  const { $, data, element, foreign, table, facts, count, percent, short, size, spanned } = jql;
  const YIELDS_MS = 60, PASSAGES_MS = 400; // after the last move; a slider sends many
  const codes = Object.keys(data.start).sort((a, b) => (data.languages[b].documents ?? 0) - (data.languages[a].documents ?? 0));
  const moved = {};
  const rows = {};
  let latest = 0;
  let current = "";

  async function ask(path, body) {
    let reply;
    try {
      reply = await fetch(`api/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    } catch {
      throw new Error("the server does not answer; start jql explore again, and open the address it prints");
    }
    const value = await reply.json().catch(() => ({ error: `the server failed (${reply.status})` }));
    if (!reply.ok) throw new Error(value.error);
    return value;
  }

  function trouble(error) {
    $("trouble").hidden = !error;
    $("trouble").textContent = error ? error.message : "";
  }

  function after(ms, work) {
    let timer;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(() => work().then(() => trouble(null), trouble), ms);
    };
  }

  const of = (code) => data.languages[code].cut?.of ?? code;

  const askYields = after(YIELDS_MS, async () => {
    const number = ++latest;
    const found = await ask("yields", { moved });
    if (number !== latest) return; // an answer to an older question
    for (const code of codes) fill(code, found.predicted.languages[code]);
    total(found.predicted.total);
    for (const [code, cut] of Object.entries(found.cuts)) if (code in data.languages) data.languages[code].cut = cut;
    if (current) jql.recut(current);
    $("fragment").textContent = found.fragment;
  });

  const askPassages = after(PASSAGES_MS, async () => {
    const code = current;
    const found = await ask("passages", { moved, language: code });
    data.languages[code].passages = found;
    if (code === current) jql.repass(code);
  });

  function fill(code, entry) {
    const row = rows[code];
    const group = of(code);
    row.quantile.textContent = (moved[group] ?? data.start[code]).toFixed(3);
    row.line.classList.toggle("moved", group in moved);
    if (!entry) return;
    const { documents } = data.languages[code];
    row.documents.textContent = spanned(entry.documents, count);
    row.share.textContent = documents ? percent(entry.documents[0] / documents) : "";
    row.tokens.textContent = spanned(entry.tokens, short);
    row.bytes.textContent = spanned(entry.bytes, size);
  }

  function total(entry) {
    const n = Object.keys(moved).length;
    $("sum").replaceChildren(facts([["documents", spanned(entry.documents, count)], ["tokens", spanned(entry.tokens, short)], ["text", spanned(entry.bytes, size)],
      ["cuts moved", String(n)]]));
    $("write").disabled = $("reset").disabled = n === 0;
  }

  function move(code, value) {
    const group = of(code);
    moved[group] = value;
    for (const other of codes) {
      if (of(other) !== group) continue;
      rows[other].slider.value = value;
      fill(other);
    }
    look(code);
    askYields();
    askPassages();
  }

  function look(code) {
    if (current === code) return;
    current = code;
    jql.show(code);
  }

  function reset() {
    for (const group of Object.keys(moved)) delete moved[group];
    for (const code of codes) {
      rows[code].slider.value = data.start[code];
      fill(code);
    }
    askYields();
    if (current) askPassages();
    $("written").hidden = true;
  }

  async function write() {
    try {
      const { path, fragment } = await ask("write", { moved });
      trouble(null);
      $("fragment").textContent = fragment;
      $("written").textContent = `Written to ${path}`;
      $("written").hidden = false;
      $("recipe").open = true;
    } catch (error) {
      trouble(error);
    }
  }

  function start() {
    const cells = codes.map((code) => {
      const language = data.languages[code];
      const slider = element("input", { type: "range", min: 0, max: 0.995, step: 0.005, value: data.start[code], ariaLabel: `cut of ${language.name}` });
      slider.addEventListener("input", () => move(code, Number(slider.value)));
      slider.dataset.code = code;
      const name = element("button", { className: "choose", type: "button" }, foreign(language.name), element("small", {}, foreign(code)));
      name.dataset.code = code;
      const shared = of(code) === code ? null : element("small", {}, "with ", foreign(of(code)));
      const made = { slider, ...Object.fromEntries(["quantile", "documents", "share", "tokens", "bytes"].map((key) => [key, element("span")])) };
      rows[code] = made;
      return [element("span", {}, name, shared ?? ""), slider, made.quantile, made.documents, made.share, made.tokens, made.bytes];
    });
    const box = table([["language", false], ["cut", false], ["quantile", true], ["documents", true], ["share", true], ["tokens", true], ["text", true]], cells);
    codes.forEach((code, i) => { rows[code].line = box.querySelectorAll("tbody tr")[i]; });
    const writes = element("button", { id: "write", className: "main", type: "button", disabled: true }, "Write the recipe fragment");
    const resets = element("button", { id: "reset", type: "button", disabled: true }, "Put all back");
    writes.addEventListener("click", write);
    resets.addEventListener("click", reset);
    $("sliders").replaceChildren(
      element("p", { id: "trouble", className: "warning", hidden: true }),
      element("div", { className: "sum" }, element("div", { id: "sum" }), element("div", { className: "buttons" }, resets, writes)),
      box,
      element("p", { id: "written", className: "note", hidden: true }),
      element("details", { id: "recipe" }, element("summary", {}, "The recipe fragment"), element("pre", { id: "fragment", className: "fragment", tabIndex: 0 })));
    $("language").addEventListener("change", () => { current = $("language").value; if (current) askPassages(); });
    document.addEventListener("click", (event) => {
      const code = event.target.closest?.("button.choose")?.dataset.code;
      if (code in data.start) current = code;
    });
    for (const code of codes) fill(code);
    askYields();
  }

  start();
})();
