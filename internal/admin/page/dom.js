// Elements are built from data and never from text that could be markup: what
// is given as a child is text, whatever it holds.

// el makes an element. Properties that are false or null are left out; "key"
// names the element among its siblings for sync.
export function el(tag, props, ...children) {
  const e = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === false || value === null || value === undefined) continue;
    e.setAttribute(name === "key" ? "data-key" : name, value === true ? "" : value);
  }
  for (const c of children.flat(Infinity)) {
    if (c === null || c === undefined || c === false) continue;
    e.append(c instanceof Node ? c : String(c));
  }
  return e;
}

// cell is a cell of a table that knows its column's name: on a narrow screen
// it stands beside its value.
export const cell = (label, ...content) => el("td", { "data-label": label }, el("div", {}, ...content));

// fill makes the children of old those in wanted, and touches only what
// differs: focus, selection and scrolling stay where they are.
export function fill(old, ...wanted) {
  const fresh = document.createElement(old.nodeName);
  for (const w of wanted.flat(Infinity)) if (w) fresh.append(w);
  syncChildren(old, fresh);
}

function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName &&
    (a.nodeType !== Node.ELEMENT_NODE || a.getAttribute("data-key") === b.getAttribute("data-key"));
}

function syncChildren(old, fresh) {
  let at = old.firstChild;
  for (const want of [...fresh.childNodes]) {
    let have = at;
    while (have && !same(have, want)) have = have.nextSibling;
    if (!have) {
      old.insertBefore(want, at);
      continue;
    }
    if (have !== at) old.insertBefore(have, at);
    else at = at.nextSibling;
    sync(have, want);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function sync(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  for (const a of [...have.attributes]) if (!want.hasAttribute(a.name)) have.removeAttribute(a.name);
  for (const a of want.attributes) if (have.getAttribute(a.name) !== a.value) have.setAttribute(a.name, a.value);
  syncChildren(have, want);
}

export const $ = (id) => document.getElementById(id);
export const body = (id) => $(id).querySelector(".body");
