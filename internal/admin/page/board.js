import { cell, el } from "./dom.js";
import { ago, plural, tail, when } from "./format.js";
import { finding } from "./summary.js";

// The reservation board: for each disk who holds it, who is registered, and
// what is wrong.

const may = { write: "may write", read: "may read", none: "locked out" };

function holder(r) {
  if (r.condition === "information-lost") return ["Reservations lost", "nobody can use this disk"];
  if (r.condition === "not-ready") return ["Reservations unreadable", "nobody can use this disk"];
  const made = r.made ? "for " + ago(r.made.since) + ", since " + when(r.made.since) + " by " + r.made.command + (r.made.by === r.holder_host ? "" : " of " + r.made.by) : "";
  if (r.holder) return [r.holder_host, made + (r.holder_live ? "" : (made && "; ") + "it has no session now")];
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
    cell("access", el("span", { class: "may " + g.access }, may[g.access]), g.conflicts && el("small", {}, " ", g.conflicts + " refused")),
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
    cell("refused", o.conflicts ? o.conflicts + " refused" : ""));
}

// rest says how many rows a board leaves out.
function rest(left) {
  if (!left) return null;
  const parts = [];
  if (left.registrations) parts.push(plural(left.registrations, "more registration"));
  if (left.others) parts.push(plural(left.others, "more session") + " without one");
  return el("p", { class: "rest" }, parts.join(" and ") + ". All of them: nas-target pr show");
}

export const registrations = (r) => r.registrations.length + (r.left_out?.registrations || 0);

export function board(r) {
  const [who, how] = holder(r);
  const lost = r.condition !== "normal";
  const n = registrations(r);
  const rows = [...r.registrations.map(registrant), ...r.others.map(bystander)];
  return el("article", { class: "card board", key: r.lun, "data-lun": r.lun, id: "board-" + r.lun, tabindex: "-1" },
    el("div", { class: "head" },
      el("h3", {}, r.lun),
      el("p", { class: "holder" },
        el("strong", { class: lost ? "critical" : r.holder && !r.holder_live ? "warning" : r.type || r.legacy ? null : "nobody" }, who), " ", el("span", {}, how)),
      el("p", { class: "type" }, r.type ? r.type.replaceAll("-", " ") : "no reservation")),
    r.findings.length > 0 && el("ul", { class: "findings" }, r.findings.map((f) => finding(f))),
    rows.length > 0 && el("table", {},
      el("thead", {}, el("tr", {}, ["Machine", "Key", "Path", "Session", "Access", "Since"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, rows)),
    rest(r.left_out),
    (lost || r.type || r.legacy || n > 0) && el("div", { class: "foot" },
      el("p", {}, plural(n, "registration") + ", generation " + r.generation +
        (n ? (r.aptpl ? ", survives a power cycle" : ", ends with a power cycle") : "")),
      el("button", { type: "button", "data-action": "clear", "data-lun": r.lun, "aria-label": "Clear the reservations of " + r.lun }, "Clear…")));
}
