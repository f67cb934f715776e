import { cell, el } from "./dom.js";
import { plural, tail, when } from "./format.js";

// The reservation board: for each disk who holds it, who is registered, and
// what is wrong.

const mark = { critical: "‼", warning: "!", info: "i" };
const may = { write: "may write", read: "may read", none: "locked out" };

export function finding(p) {
  return el("li", { class: "note " + p.severity },
    el("span", { class: "mark", "aria-hidden": "true" }, mark[p.severity]),
    el("div", {}, el("p", {}, p.text, p.since && el("small", {}, " ", when(p.since))), p.advice && el("p", { class: "advice" }, p.advice)));
}

function holder(r) {
  if (r.condition === "information-lost") return ["Reservations lost", "nobody can use this disk"];
  if (r.condition === "not-ready") return ["Reservations unreadable", "nobody can use this disk"];
  const made = r.made ? "since " + when(r.made.since) + " by " + r.made.command + (r.made.by === r.holder_host ? "" : " of " + r.made.by) : "";
  if (r.holder) return [r.holder_host, made];
  if (r.all_registrants) return ["Every registrant", made];
  if (r.legacy) return [r.legacy.split(",i,0x")[0], "holds it the SPC-2 way"];
  return ["Nobody", "every machine that sees the disk may write"];
}

function path(group, isid) {
  return el("span", { title: isid }, "group " + group + " ", el("code", {}, tail(isid)));
}

function session(live, address) {
  return el("span", { class: live ? "session live" : "session gone" }, live ? address || "logged in" : "no session");
}

function registrant(g) {
  return el("tr", { key: g.initiator + g.target, class: g.holder ? "holds" : null },
    el("th", { scope: "row", title: g.initiator }, g.host, g.holder && el("span", { class: "pill holds" }, "holds")),
    cell("key", el("code", {}, g.key)),
    cell("path", path(g.group, g.isid)),
    cell("session", session(g.live, g.address)),
    cell("access", el("span", { class: "may " + g.access }, may[g.access])),
    cell("since", g.made ? el("span", { title: g.made.command + " by " + g.made.by }, when(g.made.since)) : "–"));
}

function bystander(o) {
  const group = parseInt((/,t,0x([0-9a-f]+)$/.exec(o.target) || [])[1], 16) || 0;
  return el("tr", { key: o.initiator + o.target, class: "other" },
    el("th", { scope: "row", title: o.initiator }, o.host),
    cell("key", "not registered"),
    cell("path", path(group, o.isid)),
    cell("session", session(true, o.address)),
    cell("access", el("span", { class: "may " + o.access }, may[o.access])),
    cell("refused", o.conflicts ? plural(o.conflicts, "command") + " refused" : ""));
}

export function board(r) {
  const [who, how] = holder(r);
  const lost = r.condition !== "normal";
  const rows = [...r.registrations.map(registrant), ...r.others.map(bystander)];
  return el("article", { class: "card board", key: r.lun, "data-lun": r.lun },
    el("div", { class: "head" },
      el("h3", {}, r.lun),
      el("p", { class: "holder" },
        el("strong", { class: lost ? "critical" : r.holder && !r.holder_live ? "warning" : null }, who), " ", el("span", {}, how)),
      el("p", { class: "type" }, r.type ? r.type.replaceAll("-", " ") : "no reservation")),
    rows.length > 0 && el("table", {},
      el("thead", {}, el("tr", {}, ["Machine", "Key", "Path", "Session", "Access", "Since"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, rows)),
    r.findings.length > 0 && el("ul", { class: "findings" }, r.findings.map(finding)),
    el("div", { class: "foot" },
      el("p", {}, plural(r.registrations.length, "registration") + ", generation " + r.generation +
        (r.registrations.length ? (r.aptpl ? ", survives a power cycle" : ", ends with a power cycle") : "")),
      el("button", { type: "button", "data-action": "clear", "data-lun": r.lun, disabled: !lost && !r.type && !r.legacy && r.registrations.length === 0 }, "Clear…")));
}
