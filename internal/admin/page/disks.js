import { el } from "./dom.js";
import { count, latency, size } from "./format.js";

// past keeps the last rates of each disk for its curve.
const past = new Map();
const points = 60;

export function note(luns) {
  for (const l of luns) {
    const p = past.get(l.name) || [];
    p.push(l.traffic.now ? [l.traffic.now.read_bytes, l.traffic.now.write_bytes] : [0, 0]);
    past.set(l.name, p.slice(-points));
  }
}

function curve(name) {
  const p = past.get(name) || [];
  const top = Math.max(1, ...p.flat());
  const line = (i) => p.map((v, x) => ((x + points - p.length) / (points - 1) * 100).toFixed(2) + "," + (23 - v[i] / top * 22).toFixed(2)).join(" ");
  return el("svg:svg", { class: "curve", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" },
    el("svg:polyline", { class: "reads", points: line(0) }),
    el("svg:polyline", { class: "writes", points: line(1) }));
}

// truth says what an acknowledged write means.
function truth(l) {
  if (l.volatile) return "volatile: nothing survives the daemon";
  if (l.write_cache) return "write cache on, flushes are real (WCE=1)";
  return "no write cache, every write is durable (WCE=0)";
}

function state(l) {
  if (l.failure) return el("span", { class: "pill critical" }, "failed");
  if (l.reservation.condition !== "normal") return el("span", { class: "pill critical" }, "reservations " + l.reservation.condition.replace("-", " "));
  if (l.read_only) return el("span", { class: "pill" }, "read-only");
  return el("span", { class: "pill ok" }, "ok");
}

function figure(name, value, detail) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value, detail && el("small", {}, " ", detail)));
}

export function disk(l) {
  const now = l.traffic.now;
  return el("article", { class: "card disk", key: l.name },
    el("h3", {}, l.name, el("small", {}, " LUN " + l.lun), state(l)),
    l.failure && el("p", { class: "note critical" }, l.failure),
    el("p", { class: "size" }, el("strong", {}, size(l.bytes)), " ", l.allocated ? size(l.allocated) + " in use, " : null, l.backstore,
      l.allocated && el("progress", { max: l.bytes, value: Math.min(l.allocated, l.bytes), "aria-label": "space in use" })),
    el("p", { class: "truth" }, truth(l)),
    curve(l.name),
    el("dl", { class: "figures" },
      figure("read", now ? size(now.read_bytes) + "/s" : "–", now && count(now.reads) + " /s"),
      figure("write", now ? size(now.write_bytes) + "/s" : "–", now && count(now.writes) + " /s"),
      figure("read time", now ? latency(now.read_seconds) : "–"),
      figure("write time", now ? latency(now.write_seconds) : "–")),
    el("div", { class: "buttons" },
      l.failure && el("button", { type: "button", "data-action": "clear-failure", "data-lun": l.name }, "Clear failure…"),
      el("button", { type: "button", "data-action": "resize", "data-lun": l.name }, "Resize…")));
}
