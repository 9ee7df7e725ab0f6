// The part of Markdown that guidelines use, as elements: no string ever becomes markup.

const INLINE = /`([^`]+)`|\*\*(.+?)\*\*|\*([^\s*][^*]*)\*|\b_([^_]+)_\b|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;

function inline(parent, text) {
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    parent.append(text.slice(at, found.index));
    const [whole, code, strong, star, under, label, link] = found;
    const made = document.createElement(code ? "code" : strong ? "strong" : link ? "a" : "em");
    if (code) made.textContent = code;
    else inline(made, strong ?? star ?? under ?? label);
    if (link) Object.assign(made, { href: link, target: "_blank", rel: "noopener noreferrer" });
    parent.append(made);
    at = found.index + whole.length;
  }
  parent.append(text.slice(at));
}

const ITEM = /^\s*(?:([-*+])|\d+[.)])\s+(.*)$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;

// Headings, paragraphs, lists of one level, quotes, fenced code, and what INLINE names.
export function markdown(source) {
  const out = document.createDocumentFragment();
  const add = (parent, name) => parent.appendChild(document.createElement(name));
  let open = null; // the element that a further line continues
  let list = null;
  let fence = null;
  for (const line of source.replaceAll("\r\n", "\n").split("\n")) {
    if (/^\s*```/.test(line)) {
      fence = fence ? null : add(add(out, "pre"), "code");
      open = list = null;
      continue;
    }
    const heading = line.match(HEADING);
    const item = line.match(ITEM);
    if (fence) {
      fence.append(line + "\n");
    } else if (!line.trim()) {
      open = null;
    } else if (heading) {
      inline(add(out, `h${Math.min(6, heading[1].length + 2)}`), heading[2]);
      open = list = null;
    } else if (item) {
      const kind = item[1] ? "UL" : "OL";
      if (list?.tagName !== kind) list = add(out, kind);
      open = add(list, "li");
      inline(open, item[2]);
    } else if (open) {
      open.append(" ");
      inline(open, line.trim().replace(/^>\s?/, ""));
    } else {
      list = null;
      const quote = line.match(/^\s*>\s?(.*)$/);
      open = add(quote ? add(out, "blockquote") : out, "p");
      inline(open, quote ? quote[1] : line.trim());
    }
  }
  return out;
}
