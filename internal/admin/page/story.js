import { el } from "./dom.js";
import { clock, day, plural, when } from "./format.js";

// What happens now, and what happened to the reservations.

function event(e) {
  if (e.missed) return el("li", { key: "gap" + e.id, class: "gap" }, plural(e.missed, "event") + (e.missed === 1 ? " was" : " were") + " missed");
  return el("li", { key: e.id, class: e.severity },
    el("time", { datetime: e.time }, when(e.time)), el("span", { class: "kind" }, e.kind), el("span", { class: "text" }, e.text));
}

export function feed(events) {
  if (events.length === 0) return el("p", { class: "quiet card" }, "Nothing happened yet.");
  return el("ol", { class: "card feed", role: "log", "aria-label": "Events", tabindex: "0" }, events.map(event));
}

// kind of an entry decides its mark on the line.
function kind(e) {
  if (!e.granted) return "refused";
  if (e.changes && (e.changes.removed || []).some((p) => p.initiator !== e.initiator)) return "took";
  if (e.changes && e.changes.before.holder !== e.changes.after.holder) return "held";
  if (/^(reserve|release|clear|operator-clear|restart)$/.test(e.action)) return "held";
  return "plain";
}

function entry(e) {
  const c = e.changes;
  return el("li", { key: e.entry, class: kind(e) },
    el("time", { datetime: e.time }, clock(e.time)),
    el("div", {},
      el("p", {}, e.text),
      el("p", { class: "quiet" }, [
        e.address || (e.operator && "by operator " + e.operator),
        c && "generation " + c.after.generation,
        c && plural(c.after.registrations, "registration"),
        c && c.drain_seconds >= 0.001 && "waited " + (c.drain_seconds * 1000).toFixed(0) + " ms",
        e.reason,
      ].filter(Boolean).join(" · "))));
}

// timeline lists entries, newest first, under the days they belong to.
export function timeline(entries) {
  if (entries.length === 0) return el("p", { class: "quiet card" }, "Nothing happened.");
  const rows = [];
  let last = "";
  for (const e of entries) {
    const d = day(e.time);
    if (d !== last) rows.push(el("li", { key: "day" + d, class: "day" }, d));
    last = d;
    rows.push(entry(e));
  }
  return el("div", { class: "card" }, lanes(entries), el("ol", { class: "timeline" }, rows));
}

// Each machine keeps its color as long as the page is open.
const colors = new Map();
const palette = 6;
function color(host) {
  if (!colors.has(host)) colors.set(host, colors.size % palette);
  return "h" + colors.get(host);
}

function who(outline) {
  if (outline.condition !== "normal") return "unknown";
  if (!outline.type) return "";
  return outline.holder_host || "every registrant";
}

// stretches are who held a disk, one after the other, in the time that the
// entries tell of: [who, from, to].
function stretches(entries, from, to) {
  const all = [];
  let now = who(entries[0].changes.before), since = from;
  for (const e of entries) {
    const next = who(e.changes.after);
    if (next === now) continue;
    const at = Date.parse(e.time);
    all.push([now, since, at]);
    [now, since] = [next, at];
  }
  all.push([now, since, to]);
  return all;
}

const maxLanes = 12;

// lanes show who held each disk over the time of the entries.
function lanes(entries) {
  const from = Date.parse(entries.at(-1).time), to = Date.now();
  const of = new Map();
  for (const e of entries.toReversed()) {
    if (!e.lun || !e.changes || !e.granted) continue;
    if (!of.has(e.lun)) of.set(e.lun, []);
    of.get(e.lun).push(e);
  }
  const drawn = [...of].map(([lun, all]) => [lun, stretches(all, from, to)]).filter(([, all]) => all.some(([name]) => name)).slice(0, maxLanes);
  if (drawn.length === 0 || to <= from) return null;
  return el("div", { class: "lanes" },
    drawn.map(([lun, all]) => el("div", { class: "lane", key: lun },
      el("span", {}, lun),
      el("svg:svg", { role: "img", "aria-label": "Who held " + lun + ": " + all.map(([name, at]) => (name || "nobody") + " from " + when(new Date(at).toISOString())).join(", ") },
        all.filter(([name]) => name).map(([name, a, b]) => stretch(name, (a - from) / (to - from), (b - from) / (to - from)))))),
    el("div", { class: "lane scale", key: "scale" }, el("span", {}), el("p", {}, el("span", {}, when(entries.at(-1).time)), el("span", {}, "now"))));
}

// A stretch clips its name: an inner svg hides what overflows.
function stretch(name, from, to) {
  const percent = (x) => (x * 100).toFixed(2) + "%";
  return el("svg:svg", { x: percent(from), width: percent(Math.max(to - from, 0.004)), height: "100%", class: name === "unknown" ? "lost" : color(name) },
    el("svg:title", {}, name),
    el("svg:rect", { width: "100%", height: "100%" }),
    el("svg:text", { x: "6", y: "15" }, name));
}
