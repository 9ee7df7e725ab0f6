// The parts of the page that are drawn here: pictures when they come into view, and a closer look at one language.
// Whatever comes from the data becomes text or an attribute, never markup; Plotly is given no markup either.

"use strict";

const jql = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);

  // Elements

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  function drawn(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const foreign = (text) => element("bdi", {}, String(text));

  // A table in a box that it may scroll in. Columns are [title, is a number]; the first cell of a row is its head.
  function table(columns, rows) {
    const cell = (name, content, column) => element(name, { className: column[1] ? "number" : "" }, content ?? "");
    const head = element("tr", {}, ...columns.map((column) => cell("th", column[0], column)));
    const body = rows.map((row) => element("tr", {}, ...row.map((content, i) => cell(i ? "td" : "th", content, columns[i]))));
    const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
    return element("div", { className: columns.length > 5 ? "box full" : "box", tabIndex: 0 }, made);
  }

  function facts(pairs) {
    const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
    return element("dl", { className: "facts" }, ...shown.map(([words, value]) =>
      element("div", {}, element("dt", {}, words), element("dd", {}, value))));
  }

  // Numbers, as amounts.py writes them

  const count = (value) => (value === null || value === undefined ? null : Math.round(value).toLocaleString("en-US"));
  const percent = (share) => (share > 0 && share < 0.01 ? (100 * share).toFixed(2) : (100 * share).toFixed(1)) + "%";

  function short(value) {
    if (value === null || value === undefined) return null;
    for (const [size, unit] of [[1e12, " T"], [1e9, " B"], [1e6, " M"], [1e3, " k"]]) {
      if (Math.abs(value) >= 0.9995 * size) {
        const scaled = Math.abs(value / size);
        return (value / size).toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0) + unit;
      }
    }
    return String(Math.round(value));
  }

  const size = (value) => (value === null || value === undefined ? null
    : value < 1000 ? `${Math.round(value)} bytes`
    : short(value).replace(" k", " kB").replace(" M", " MB").replace(" B", " GB").replace(" T", " TB"));
  const spanned = (values, word) => word(values[0]) + (values[1] < values[2] ? ` [${word(values[1])}, ${word(values[2])}]` : "");

  // Pictures

  const INK = "#26241f", SOFT = "#6a665d", LINE = "#dedad1", ACCENT = "#2c6e63", CUT = "#d9a441", WARN = "#8a3b12";
  const FONT = getComputedStyle(document.body).fontFamily;

  // Plotly reads some markup in its texts: what is not ours is escaped, and shows as it is.
  const plotText = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd")
    .replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function layout(extra) {
    const axis = { fixedrange: true, automargin: true, gridcolor: LINE, linecolor: LINE, zeroline: false };
    return {
      font: { family: FONT, size: 12, color: SOFT },
      margin: { l: 8, r: 12, t: 12, b: 8 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: false,
      dragmode: false,
      hoverlabel: { bgcolor: "#fff", bordercolor: LINE, font: { family: FONT, color: INK, size: 12 } },
      ...extra,
      xaxis: { ...axis, ...extra.xaxis },
      yaxis: { ...axis, ...extra.yaxis },
    };
  }

  const waiting = new WeakMap();
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || !waiting.has(target)) continue;
      watcher.unobserve(target);
      const draw = waiting.get(target);
      waiting.delete(target);
      draw(target);
    }
  }, { rootMargin: "200px" });

  function whenSeen(box, draw) {
    waiting.set(box, draw);
    watcher.observe(box);
    return box;
  }

  function plot(box, traces, extra) {
    Plotly.react(box, traces, layout(extra), { displayModeBar: false, responsive: true });
    box.dataset.drawn = "yes";
  }

  function picture(caption, draw) {
    return element("figure", {}, element("figcaption", {}, ...caption), whenSeen(element("div", { className: "figure" }), draw));
  }

  function drawHistogram(box, { head, bars }, cut) {
    const at = bars.documents.map((_, i) => bars.start + (i + 0.5) * bars.width);
    const known = cut?.values && head in cut.values;
    const value = known ? cut.values[head] : null;
    const colors = at.map((x) => (!known ? "#b5b0a5" : x >= value ? ACCENT : CUT));
    const all = bars.tokens.reduce((sum, n) => sum + n, 0) || 1;
    const shares = bars.tokens.map((n) => n / all);
    const line = { type: "line", x0: value, x1: value, yref: "paper", y0: 0, y1: 1, line: { color: WARN, width: 2 } };
    const note = { x: value, y: 1, yref: "paper", text: `cut ${known ? value.toFixed(2) : ""}`, showarrow: false, xanchor: "left", yanchor: "top", xshift: 4, font: { color: WARN } };
    plot(box, [
      { type: "bar", x: at, y: bars.documents, width: bars.width, marker: { color: colors, line: { width: 0 } }, hovertemplate: "%{x:.2f} points: %{y:,} documents<extra></extra>" },
      { type: "scatter", mode: "lines", x: at, y: shares, yaxis: "y2", line: { color: INK, width: 1, shape: "hvh" }, hovertemplate: "%{y:.1%} of tokens<extra></extra>" },
    ], {
      height: 210,
      bargap: 0,
      hovermode: "x",
      shapes: known ? [line] : [],
      annotations: known ? [note] : [],
      yaxis: { rangemode: "tozero", tickformat: "~s", nticks: 5 },
      yaxis2: { overlaying: "y", visible: false, rangemode: "tozero", fixedrange: true },
    });
  }

  function drawShares(box, entries, words) {
    const x = entries.map((entry) => plotText(entry.label));
    const hover = entries.map((entry) => `${plotText(words(entry))}: ${spanned([entry.value, entry.low, entry.high], percent)}`
      + `<br>its languages: ${percent(entry.expected)}<br>${count(entry.documents)} documents, ${count(entry.sample)} in the sample`);
    const error = {
      type: "data", symmetric: false, thickness: 1.5, width: 3, color: ACCENT,
      array: entries.map((entry) => entry.high - entry.value),
      arrayminus: entries.map((entry) => entry.value - entry.low),
    };
    const top = Math.max(...entries.map((entry) => Math.max(entry.high, entry.expected)));
    plot(box, [
      { type: "scatter", mode: "lines", x, y: entries.map((entry) => entry.expected), line: { color: WARN, width: 1.5, dash: "dot" }, hoverinfo: "skip" },
      { type: "scatter", mode: "markers", x, y: entries.map((entry) => entry.value), error_y: error, marker: { color: ACCENT, size: 8 }, text: hover, hovertemplate: "%{text}<extra></extra>" },
    ], {
      height: 210,
      xaxis: { type: "category", showgrid: false },
      yaxis: { range: [-0.03 * (top || 1), Math.min(1.04, top * 1.12 || 1)], tickformat: ".0%", nticks: 5 },
    });
  }

  function drawYields(box) {
    const rows = [...data.yields].reverse();
    const y = rows.map((row) => plotText(data.languages[row.code]?.name ?? row.code));
    const place = rows.map((_, i) => i);
    const error = {
      type: "data", symmetric: false, thickness: 1.5, width: 3, color: SOFT,
      array: rows.map((row) => row.predicted[2] - row.predicted[0]),
      arrayminus: rows.map((row) => row.predicted[0] - row.predicted[1]),
    };
    const hover = (word) => rows.map((row, i) => `${y[i]}: ${word(row)}`);
    plot(box, [
      { type: "scatter", mode: "markers", name: "predicted", x: rows.map((row) => row.predicted[0]), y: place, error_x: error, marker: { color: "#fff", size: 9, line: { color: SOFT, width: 1.5 } }, text: hover((row) => `predicted ${spanned(row.predicted, percent)}`), hovertemplate: "%{text}<extra></extra>" },
      { type: "scatter", mode: "markers", name: "kept", x: rows.map((row) => row.kept), y: place, marker: { color: ACCENT, size: 6, symbol: "diamond" }, text: hover((row) => `kept ${percent(row.kept)}`), hovertemplate: "%{text}<extra></extra>" },
    ], {
      height: 90 + 20 * rows.length,
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
      xaxis: { tickformat: ".0%", rangemode: "tozero", title: { text: "share of documents", font: { size: 12 } } },
      yaxis: { tickvals: place, ticktext: y, range: [-0.7, rows.length - 0.3], showgrid: false },
    });
  }

  // Differences of data sets: to the right the first of a pair is better. The small dots are single seeds.
  function drawDifferences(box) {
    const { pairs } = data.ablation.measures[Number(box.dataset.measure)];
    const rows = [...pairs].reverse();
    const place = rows.map((_, i) => i);
    const color = (row) => ({ better: ACCENT, worse: WARN })[row.verdict] ?? SOFT;
    const words = (row) => `${plotText(row.words)}<br>${row.told.map(plotText).join("<br>")}`;
    const known = rows.filter((row) => row.low !== null);
    const label = ({ words: all }) => plotText([...all].length > 40 ? `${[...all].slice(0, 39).join("")}…` : all); // of a narrow screen
    const seeds = rows.flatMap((row, i) => row.seeds.map((value) => [value, i]));
    plot(box, [
      { type: "scatter", mode: "markers", x: seeds.map(([x]) => x), y: seeds.map(([, y]) => y + 0.22), marker: { color: SOFT, size: 3 }, hoverinfo: "skip" },
      { type: "scatter", mode: "markers", x: rows.map((row) => row.value), y: place, text: rows.map(words), hovertemplate: "%{text}<extra></extra>",
        marker: { color: rows.map((row) => (row.verdict === "better" || row.verdict === "worse" ? color(row) : "#fff")), size: 9, line: { color: rows.map(color), width: 1.5 } } },
    ], {
      height: 80 + 26 * rows.length,
      shapes: [
        { type: "line", x0: 0, x1: 0, yref: "paper", y0: 0, y1: 1, line: { color: SOFT, width: 1.5 }, layer: "between" },
        ...known.map((row) => ({ type: "line", x0: row.low, x1: row.high, y0: rows.indexOf(row), y1: rows.indexOf(row), line: { color: color(row), width: 1.5 }, layer: "below" })),
      ],
      xaxis: { title: { text: "better by", font: { size: 12 } }, range: spread(rows.flatMap((row) => [0, row.value, row.low ?? 0, row.high ?? 0, ...row.seeds])) },
      yaxis: { tickvals: place, ticktext: rows.map(label), range: [-0.6, rows.length - 0.4], showgrid: false },
    });
  }

  function spread(values) {
    const low = Math.min(...values), high = Math.max(...values), room = 0.05 * (high - low) || 0.001;
    return [low - room, high + room];
  }

  const SETS = [ACCENT, CUT, "#4a6fa5", WARN, "#8a6aa8", SOFT];

  function drawLosses(box) {
    const { losses } = data.ablation;
    const names = [...new Set(losses.map((one) => one.name))];
    const late = losses.flatMap(({ points }) => points.slice(Math.floor(points.length / 20)).map(([, loss]) => loss)); // the first fall would leave no room
    plot(box, losses.map(({ name, seed, points }, i) => {
      const place = names.indexOf(name);
      return { type: "scatter", mode: "lines", name: plotText(name), legendgroup: String(place), showlegend: losses.findIndex((one) => one.name === name) === i,
        x: points.map(([step]) => step), y: points.map(([, loss]) => loss), line: { color: SETS[place % SETS.length], width: 1, dash: place < SETS.length ? "solid" : "dot" },
        hovertemplate: `${plotText(name)}, seed ${plotText(seed)}, step %{x:,}: %{y:.3f}<extra></extra>` };
    }), {
      height: 320,
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
      xaxis: { title: { text: "step", font: { size: 12 } }, tickformat: ",d" },
      yaxis: { title: { text: "loss, nats a token", font: { size: 12 } }, range: spread(late) },
    });
  }

  // Losses by learning rate: a picture a variant with its band, the baseline's in grey behind it; one scale for all.
  function ratePictures() {
    const { variants, baseline, cap } = data.sweep;
    const grey = variants.find(({ name }) => name === baseline);
    const range = spread(variants.flatMap(({ seeds }) => seeds.map(([, loss]) => loss)));
    return variants.filter((one) => one !== grey || variants.length === 1).map((one) => picture(
      [element("b", {}, foreign(one.name)), ...(one.words === one.name ? [] : [", ", foreign(one.words)])],
      (box) => drawRates(box, one === grey ? [[one, ACCENT]] : [...(grey ? [[grey, SOFT]] : []), [one, ACCENT]], range, cap)));
  }

  function drawRates(box, lines, range, cap) {
    const rates = lines[0][0].points.map(([rate]) => rate);
    const hover = ({ name, points }) => points.map(([rate, mean, low, high, diverged]) => `${plotText(name)} at ${rate}: ${mean.toFixed(3)}`
      + (low === null ? "" : ` [${low.toFixed(3)}, ${high.toFixed(3)}]`) + (diverged ? `<br>${diverged} diverged` : ""));
    const traces = lines.flatMap(([one, color]) => {
      const banded = one.points.every(([, , low]) => low !== null);
      const x = one.points.map(([rate]) => rate);
      const ends = [...one.points.map((point) => point[3]), ...one.points.map((point) => point[2]).reverse()];
      return [
        ...(banded ? [{ type: "scatter", mode: "lines", x: [...x, ...[...x].reverse()], y: ends, fill: "toself", fillcolor: color, opacity: 0.15, line: { width: 0 }, hoverinfo: "skip" }] : []),
        { type: "scatter", mode: "markers", x: one.seeds.map(([rate]) => rate), y: one.seeds.map(([, loss]) => loss), marker: { color, size: 3 }, hoverinfo: "skip" },
        { type: "scatter", mode: "lines+markers", x, y: one.points.map(([, mean]) => mean), line: { color, width: 1.5 }, text: hover(one), hovertemplate: "%{text}<extra></extra>",
          marker: { color, size: 8, symbol: one.points.map(([, , , , diverged]) => (diverged ? "x" : "circle")) } },
      ];
    });
    plot(box, traces, {
      height: 230,
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: cap, y1: cap, line: { color: WARN, width: 1, dash: "dot" } }],
      xaxis: { type: "log", tickvals: rates, ticktext: rates.map(String), title: { text: "learning rate", font: { size: 12 } } },
      yaxis: { range, nticks: 6 },
    });
  }

  // One language

  function domainTable(entries) {
    const strip = (entry) => drawn("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawn("rect", { class: "share", width: 100 * entry.value, height: 8 }),
      drawn("line", { class: "whisker", x1: 100 * entry.low, x2: 100 * entry.high, y1: 4, y2: 4 }),
      drawn("line", { class: "expected", x1: 100 * entry.expected, x2: 100 * entry.expected, y1: 0, y2: 8 }));
    const lean = (entry) => (entry.low > entry.expected ? "more" : entry.high < entry.expected ? "less" : "");
    return table(
      [["domain", false], ["documents", true], ["kept", true], ["", false], ["of its language", true], ["", false]],
      entries.map((entry) => [foreign(entry.label), short(entry.documents), spanned([entry.value, entry.low, entry.high], percent), strip(entry), percent(entry.expected), lean(entry)]));
  }

  function favours(found) {
    if (!found?.sample) return [];
    const parts = [element("h3", {}, data.start ? "What the run's cuts favour" : "What the filter favours"), element("p", { className: "note" },
      "Share kept of the documents that the cut decides on, copies left out, with 95 % intervals; dotted or red: what it would be if only the language counted. "
      + `From ${count(found.sample)} documents of the sample, each weighted by how many it stands for.`)];
    const pictures = [picture(
      [element("b", {}, "Length"), ", tenths of each language by tokens, the shortest first"],
      (box) => drawShares(box, found.length, (entry) => `tenth ${entry.label}${entry.span ? `, ${entry.span} tokens` : ""}`))];
    if (found.date.length) {
      pictures.push(picture([element("b", {}, "Date")], (box) => drawShares(box, found.date, (entry) => entry.label)));
    }
    parts.push(element("div", { className: "figures" }, ...pictures));
    if (found.domain.length) parts.push(element("h3", {}, "Domains"), domainTable(found.domain));
    return parts;
  }

  const words = (reason) => reason.replaceAll("_", " ");

  function passage(one, language, cut) {
    const order = ([a], [b]) => data.heads.includes(b) - data.heads.includes(a); // those that vote first
    const chips = Object.entries(one.scores).sort(order).map(([head, score]) => {
      const value = cut?.values?.[head];
      const side = value === undefined ? "" : score >= value ? "over" : "under";
      return element("span", { className: `chip ${side}` }, foreign(head), ` ${score.toFixed(2)}`, value === undefined ? "" : ` (cut ${value.toFixed(2)})`);
    });
    const about = [one.side === "other" ? element("b", {}, foreign(words(one.why))) : null, one.domain && foreign(one.domain), one.date && foreign(one.date),
      one.tokens === null ? null : `${count(one.tokens)} tokens`];
    const text = element("div", { className: "text", lang: language.lang, dir: language.dir, tabIndex: 0 }, one.text);
    const more = one.more ? element("span", {}, `${count(one.more)} more characters`) : null;
    const kind = one.why === null ? "kept" : one.side === "other" ? "other" : "dropped";
    return element("article", { className: `passage ${kind}` }, element("header", { title: one.id }, ...about.filter(Boolean), more), text,
      chips.length ? element("div", { className: "scores" }, ...chips) : null);
  }

  function passages(language) {
    const found = language.passages ?? [];
    if (!found.length) return [];
    const side = (title, ...names) => {
      const ours = names.flatMap((name) => found.filter((one) => one.side === name));
      return ours.length ? element("div", {}, element("h4", {}, title), ...ours.map((one) => passage(one, language, language.cut))) : null;
    };
    const parts = [side("Kept, nearest to the cut first", "just kept", "kept"), side("Dropped, nearest to the cut first", "just dropped", "dropped"), side("Dropped for other reasons", "other")];
    return [element("h3", {}, "Both sides of the cut"), element("div", { className: "sides" }, ...parts.filter(Boolean))];
  }

  function cutWords(cut) {
    if (!cut) return null;
    if (!cut.values) return cut.note || "none: too few documents";
    const by = cut.by === "quantile" || cut.quantile === null ? cut.by : `${cut.by}, at quantile`;
    return cut.quantile === null ? by : `${by} ${Number(cut.quantile.toFixed(4))}`;
  }

  const inRun = data.start ? " in the run" : ""; // where cuts are moved, what is kept is told beside them
  let shown = []; // histograms that were drawn of the language that is looked at

  function show(code) {
    const language = data.languages[code];
    const detail = $("detail");
    if (!language || !detail) return;
    $("language").value = code;
    const { cut } = language;
    const parts = [];
    shown = [];
    if (code) {
      parts.push(element("div", { className: "detail-head" }, element("h3", {}, foreign(language.name)), foreign(code),
        cut && cut.of !== code ? element("span", { className: "note" }, "shares the cut of ", foreign(cut.of)) : null));
      parts.push(facts([["documents", count(language.documents)], ["without copies", count(language.representatives)], [`kept${inRun}`, count(language.kept)],
        [`share${inRun}`, language.kept === null || !language.documents ? null : percent(language.kept / language.documents)],
        [`tokens kept${inRun}`, short(language.kept_tokens)], ["cut", element("span", { id: "cut-words" }, cutWords(cut) ?? "")]]));
      if (cut?.note && cut.values) parts.push(element("p", { className: "note" }, foreign(cut.note)));
    }
    if (language.histograms?.length) {
      const legend = "Documents by score, one of each near-duplicate cluster; the line is tokens.";
      parts.push(element("h3", {}, "Scores"), element("p", { className: "note" }, legend));
      parts.push(element("div", { className: "figures" }, ...language.histograms.map((one) => picture(
        [element("b", {}, foreign(one.head)), one.votes ? "" : ", does not vote", one.bars.held ? `, ${count(one.bars.held)} held back by the cascade` : ""],
        (box) => { shown.push({ box, one }); drawHistogram(box, one, data.languages[code].cut); }))));
    }
    parts.push(...favours(language.favours), element("div", { id: "passages" }, ...passages(language)));
    if (language.heads?.length) {
      parts.push(element("h3", {}, "Agreement of heads"), table([["heads", false], ["Spearman, 95 % interval", true]], language.heads.map((pair) => [
        foreign(pair.heads.join(" and ")), pair.value === null ? "one of them is constant" : `${pair.value.toFixed(2)} [${pair.low.toFixed(2)}, ${pair.high.toFixed(2)}]`])));
    }
    if (language.dropped?.length) {
      parts.push(element("h3", {}, "Dropped because"), table([["reason", false], ["documents", true]], language.dropped.map(([reason, n]) => [foreign(words(reason)), count(n)])));
    }
    detail.replaceChildren(...parts);
    detail.dataset.language = code;
  }

  // The cut of the language that is looked at has moved.
  function recut(code) {
    if ($("detail").dataset.language !== code) return;
    const { cut } = data.languages[code];
    $("cut-words").textContent = cutWords(cut) ?? "";
    for (const { box, one } of shown) drawHistogram(box, one, cut);
  }

  // Other documents are around its cut.
  function repass(code) {
    if ($("detail").dataset.language === code) $("passages").replaceChildren(...passages(data.languages[code]));
  }

  function start() {
    const select = $("language");
    if (select) {
      const order = Object.entries(data.languages).sort(([a, one], [b, other]) => Boolean(a) - Boolean(b) || (other.documents ?? 0) - (one.documents ?? 0));
      select.append(...order.map(([code, language]) => element("option", { value: code }, code ? `${language.name} (${code})` : language.name)));
      select.addEventListener("change", () => show(select.value));
      // All together is worth a look only where there is a sample.
      show(data.languages[""]?.favours?.sample || order.length < 2 ? "" : order[1][0]);
    }
    document.addEventListener("click", (event) => {
      const button = event.target.closest?.("button.choose");
      if (!button || !(button.dataset.code in data.languages)) return;
      show(button.dataset.code);
      $("closer").scrollIntoView({ block: "start" });
    });
    for (const [name, draw] of Object.entries({ yields: drawYields, differences: drawDifferences, losses: drawLosses })) {
      for (const box of document.querySelectorAll(`[data-figure=${name}]`)) whenSeen(box, draw);
    }
    $("rates")?.append(...ratePictures());
    document.body.dataset.state = "ready";
  }

  return { $, data, element, foreign, table, facts, count, percent, short, size, spanned, show, recut, repass, start };
})();

jql.start();
