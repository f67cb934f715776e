import { el } from "./dom.js";
import { age, count, plural, size, when } from "./format.js";

// The whole daemon in one line of figures, and what is wrong with it.

const mark = { critical: "‼", warning: "!", info: "i" };

// finding is something wrong, with what can be done about it.
export function finding(p, more) {
  return el("li", { class: "note " + p.severity },
    el("span", { class: "mark", "aria-hidden": "true" }, mark[p.severity]),
    el("div", {},
      el("p", {}, p.text, p.since && el("small", {}, " ", when(p.since))),
      more ? el("p", {}, more) : p.advice && el("p", { class: "advice" }, p.advice)));
}

// problems lists what is wrong. What a board explains is told in one line that
// leads there.
export function problems(all, reservations) {
  if (all.length === 0) return null;
  const told = (p) => reservations.some((r) => r.lun === p.subject && r.findings.some((f) => f.code === p.code));
  return el("ul", { class: "findings card" }, all.map((p) =>
    finding(p, told(p) && el("a", { href: "#board-" + p.subject }, "See the board of " + p.subject))));
}

function tile(name, value, detail, level) {
  return el("div", { class: level || null }, el("dt", {}, name), el("dd", {}, el("strong", {}, value), el("small", {}, detail)));
}

export function summary(s) {
  const failed = s.luns.filter((l) => l.failure || l.reservation.condition !== "normal").length;
  const down = s.portals.filter((p) => p.error).length;
  const held = s.luns.filter((l) => l.reservation.type).length;
  const now = { reads: 0, writes: 0, read_bytes: 0, write_bytes: 0 };
  for (const l of s.luns) for (const k of Object.keys(now)) now[k] += l.traffic.now ? l.traffic.now[k] : 0;
  const oldest = s.oldest;
  return el("dl", { class: "tiles card" },
    tile("Disks", s.luns.length - failed, failed ? failed + " not served" : held ? held + " reserved" : "none reserved", failed && "critical"),
    tile("Portals", s.portals.length - down, down ? down + " down" : "open", down && "critical"),
    tile("Sessions", count(s.sessions), plural(s.commands, "command") + " under way"),
    tile("Reads", size(now.read_bytes) + "/s", count(now.reads) + " IOPS"),
    tile("Writes", size(now.write_bytes) + "/s", count(now.writes) + " IOPS"),
    oldest
      ? tile("Oldest command", age(oldest.seconds), oldest.name + " of " + oldest.host, oldest.seconds >= 30 ? "critical" : oldest.seconds >= 5 && "warning")
      : tile("Oldest command", "–", "nobody waits"));
}
