import { cell, el } from "./dom.js";
import { age, size, tail, when } from "./format.js";

// A command that is old makes its initiator give up.
function oldest(c) {
  if (!c) return el("span", { class: "quiet" }, "idle");
  const level = c.seconds >= 30 ? "critical" : c.seconds >= 5 ? "warning" : null;
  return el("span", { class: level }, el("strong", {}, age(c.seconds)), " ", c.name, " on LUN " + c.lun);
}

function row(s) {
  return el("tr", { key: s.id },
    el("th", { scope: "row", title: s.initiator }, s.host,
      el("small", { class: "below" }, el("code", { title: s.isid }, tail(s.isid)), s.alias && s.alias !== s.host && " " + s.alias),
      s.user && el("small", { class: "below" }, "CHAP user " + s.user)),
    cell("from", el("span", { class: "address" }, s.address || "–"), el("small", { class: "address below" }, "to ", s.target ? s.portal : "discovery")),
    cell("since", el("span", { class: "address" }, when(s.since))),
    cell("oldest command", oldest(s.oldest), s.commands > 1 && el("small", {}, " of " + s.commands)),
    cell("data", el("span", { class: "address" }, size(s.read_bytes), " read"), el("small", { class: "address below" }, size(s.write_bytes), " written")),
    cell("refused", s.conflicts ? el("span", { class: "warning" }, s.conflicts) : "–"),
    el("td", { class: "act" }, el("button", { type: "button", "data-action": "kill", "data-session": s.id, "aria-label": "End session " + s.id + " of " + s.host }, "End…")));
}

export function sessions(list, find) {
  if (list.items.length === 0) return el("p", { class: "quiet card" }, find ? "Nobody with “" + find + "” is logged in." : "Nobody is logged in.");
  return el("div", { class: "card" },
    el("table", {},
      el("thead", {}, el("tr", {}, ["Machine", "From", "Since", "Oldest command", "Data", "Refused", ""].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, list.items.map(row))),
    list.more && el("p", { class: "rest" }, "The first " + list.items.length + " of " + list.total + ", those that wait longest. All of them: nas-target session list"));
}
