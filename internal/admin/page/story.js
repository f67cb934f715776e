import { el } from "./dom.js";
import { plural, when } from "./format.js";

// What happens now, and what happened to the reservations.

export function event(e) {
  return el("li", { key: e.id, class: e.severity },
    el("time", { datetime: e.time }, when(e.time)), " ", el("span", { class: "text" }, e.text));
}

// kind of an entry decides its mark on the line.
function kind(e) {
  if (!e.granted) return "refused";
  if (e.changes && (e.changes.removed || []).some((p) => p.initiator !== e.initiator)) return "took";
  if (e.changes && e.changes.before.holder !== e.changes.after.holder) return "held";
  if (/^(reserve|release|clear|operator-clear|restart)$/.test(e.action)) return "held";
  return "plain";
}

export function entry(e) {
  const c = e.changes;
  return el("li", { key: e.entry, class: kind(e) },
    el("time", { datetime: e.time }, when(e.time)),
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
