import { cell, el } from "./dom.js";
import { count, latency, size } from "./format.js";
import { delays, throughput } from "./chart.js";

// truth says what an acknowledged write means.
function truth(l) {
  if (l.volatile) return ["Volatile", "nothing survives the daemon"];
  if (l.write_cache) return ["Write cache", "WCE=1: durable once flushed"];
  return ["No write cache", "WCE=0: durable when answered"];
}

function state(l) {
  if (l.absent) return el("span", { class: "pill critical" }, "absent");
  if (l.failure) return el("span", { class: "pill critical" }, "failed");
  if (l.reservation.condition !== "normal") return el("span", { class: "pill critical" }, "reservations " + l.reservation.condition.replace("-", " "));
  if (l.read_only) return el("span", { class: "pill" }, "read-only");
  return el("span", { class: "pill ok" }, "ok");
}

function space(l) {
  if (!l.allocated) return el("small", {}, l.backstore);
  return [
    el("progress", { max: l.bytes, value: Math.min(l.allocated, l.bytes), "aria-label": "space in use" }),
    el("small", {}, size(l.allocated) + " in use, " + l.backstore),
  ];
}

function figure(name, value, detail) {
  return el("div", { class: name }, el("dt", {}, name), el("dd", {}, value, detail && el("small", {}, " ", detail)));
}

function disk(l) {
  const now = l.traffic.now;
  const [promise, meaning] = truth(l);
  return el("tr", { key: l.name, "data-lun": l.name },
    el("th", { scope: "row" },
      el("div", { class: "name" }, el("strong", {}, l.name), " ", state(l)), el("small", {}, "LUN " + l.lun),
      l.failure && el("p", { class: "critical" }, l.failure)),
    cell("size", el("span", { class: "size" }, size(l.bytes)), space(l)),
    cell("a write is", el("span", {}, promise), el("small", { class: "below" }, meaning)),
    cell("throughput", el("div", { class: "traffic" }, throughput(l.name), el("dl", {},
      figure("reads", now ? size(now.read_bytes) + "/s" : "–", now && count(now.reads) + " IOPS"),
      figure("writes", now ? size(now.write_bytes) + "/s" : "–", now && count(now.writes) + " IOPS")))),
    cell("latency", el("div", { class: "traffic" }, delays(l.name), el("dl", {},
      figure("reads", now ? latency(now.read_seconds) : "–"),
      figure("writes", now ? latency(now.write_seconds) : "–")))),
    el("td", { class: "act" },
      l.absent && el("button", { type: "button", "data-action": "retry", "data-lun": l.name, "aria-label": "Open " + l.name + " again" }, "Open…"),
      l.failure && !l.absent && el("button", { type: "button", "data-action": "clear-failure", "data-lun": l.name }, "Clear failure…"),
      !l.absent && el("button", { type: "button", "data-action": "resize", "data-lun": l.name, "aria-label": "Resize " + l.name }, "Resize…")));
}

export function disks(luns) {
  if (luns.length === 0) return el("p", { class: "quiet card" }, "There are no disks.");
  return el("div", { class: "card" },
    el("table", {},
      el("thead", {}, el("tr", {}, ["Disk", "Size", "A write is", "Throughput", "Latency", ""].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, luns.map(disk))));
}
