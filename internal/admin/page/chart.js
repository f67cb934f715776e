import { el } from "./dom.js";
import { latency, size } from "./format.js";

// What each disk did in the last minutes: asked for once, and then made longer
// by every look. A point is a rate with the time it was taken at.

const span = 10 * 60000;
const gap = 20000; // longer without a look, and the line is broken
const past = new Map();

export function recall(list) {
  for (const { lun, points } of list) {
    past.set(lun, points.map((p) => ({ ...p, at: Date.parse(p.time) })));
  }
}

export function note(luns, time) {
  const at = Date.parse(time);
  const names = new Set(luns.map((l) => l.name));
  for (const name of past.keys()) if (!names.has(name)) past.delete(name);
  for (const l of luns) {
    if (!l.traffic.now) continue;
    const p = past.get(l.name) || [];
    p.push({ ...l.traffic.now, at });
    past.set(l.name, p.filter((x) => at - x.at <= span));
  }
}

// window is the time that the charts show: as much as is known, up to span.
function frame(points) {
  const end = points.at(-1).at;
  return [Math.max(end - span, Math.min(points[0].at, end - 60000)), end];
}

// runs are the pieces of a line, as coordinates in 100 by 24: where there is
// nothing to tell for a while the line is broken.
function runs(points, value, top, [from, to]) {
  const all = [];
  let last = -Infinity;
  for (const p of points) {
    const v = p[value];
    if (p.at < from || v === null || v === undefined) continue;
    if (p.at - last > gap) all.push([]);
    last = p.at;
    all.at(-1).push([(p.at - from) / (to - from) * 100, 23.5 - v / top * 21.5]);
  }
  return all;
}

const at = ([x, y]) => x.toFixed(2) + " " + y.toFixed(2);

function line(points, value, top, frame) {
  const pieces = runs(points, value, top, frame);
  const path = pieces.map((r) => (r.length === 1 ? "M" + at(r[0]) + "h.01" : "M" + r.map(at).join("L"))).join("");
  const area = pieces.filter((r) => r.length > 1).map((r) => "M" + at([r[0][0], 24]) + "L" + r.map(at).join("L") + "L" + at([r.at(-1)[0], 24]) + "Z").join("");
  return [el("svg:path", { class: "area", d: area }), el("svg:path", { class: "line", d: path })];
}

function chart(points, reads, writes, say, what) {
  if (points.length === 0) return el("p", { class: "chart none" }, "no traffic seen yet");
  const f = frame(points);
  const top = Math.max(...points.filter((p) => p.at >= f[0]).flatMap((p) => [p[reads] || 0, p[writes] || 0]));
  const minutes = Math.round((f[1] - f[0]) / 60000);
  return el("div", { class: "chart" },
    el("svg:svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img",
      "aria-label": what + " over " + minutes + " min, at most " + say(top) },
      el("svg:g", { class: "reads" }, line(points, reads, top || 1, f)),
      el("svg:g", { class: "writes" }, line(points, writes, top || 1, f))),
    el("small", { class: "top" }, top > 0 ? "peak " + say(top) : "quiet", ", " + minutes + " min"));
}

// No command, no latency: the line is broken, not at zero.
const timed = (points) => points.map((p) => ({ ...p, read_seconds: p.read_seconds || null, write_seconds: p.write_seconds || null }));

export const throughput = (name) => chart(past.get(name) || [], "read_bytes", "write_bytes", (v) => size(v) + "/s", "Throughput");
export const delays = (name) => chart(timed(past.get(name) || []), "read_seconds", "write_seconds", latency, "Latency");
