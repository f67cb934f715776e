import { $, body, el, fill } from "./dom.js";
import { change, follow, get, hasToken, Refused, setToken } from "./api.js";
import { ask, tokenTitle } from "./ask.js";
import { ago, bytes, plural, size } from "./format.js";
import { board, finding } from "./board.js";
import { disk, note } from "./disks.js";
import { sessions } from "./sessions.js";
import { entry, event } from "./story.js";

// What the page knows: the last answers, and the newest events.
const known = { status: null, reservations: [], sessions: { items: [] }, events: [], history: [], more: false };
const keepEvents = 100;

const words = { ok: "All is well", warning: "Needs a look", critical: "Something is broken" };

function showStatus(s) {
  const health = $("health");
  health.textContent = s.ready ? words[s.health] : "Starting";
  health.className = s.health;
  $("facts").textContent = s.version + ", up " + ago(s.started) + ", " + plural(s.sessions, "session");
  document.title = (s.health === "ok" ? "" : "(" + s.problems.length + ") ") + "nas-target";
  const problems = s.problems.filter((p) => p.severity !== "info");
  $("problems").hidden = problems.length === 0;
  fill($("problems"), problems.length > 0 && el("ul", { class: "findings card" }, problems.map(finding)));
  fill(body("disks"), s.luns.map(disk));
  const select = $("history-lun");
  fill(select, el("option", { value: "" }, "all"), s.luns.map((l) => el("option", { value: l.name, key: l.name }, l.name)));
}

function showAll() {
  if (known.status) showStatus(known.status);
  fill(body("reservations"), known.reservations.map(board));
  fill(body("sessions"), sessions(known.sessions));
  fill(body("events"), known.events.length
    ? el("ol", { class: "card feed", role: "log" }, known.events.map(event))
    : el("p", { class: "quiet card" }, "Nothing happened yet."));
  fill(body("history"), known.history.length
    ? el("ol", { class: "card timeline" }, known.history.map(entry))
    : el("p", { class: "quiet card" }, "Nothing happened."));
  $("older").hidden = !known.more;
}

function failed(e) {
  if (e instanceof Refused && e.status === 401) {
    $("live").dataset.state = "locked";
    $("live").textContent = "locked";
    if (hasToken()) setToken("");
    if (!$("ask").open) askToken();
    return;
  }
  $("health").textContent = "The daemon does not answer";
  $("health").className = "critical";
}

// load asks for some of what the page shows, each at most once at a time.
const loading = new Set();
const loaders = {
  async status() {
    known.status = await get("/v1/status");
    note(known.status.luns);
  },
  async reservations() {
    known.reservations = (await get("/v1/reservations")).items;
  },
  async sessions() {
    known.sessions = await get("/v1/sessions?limit=200");
  },
  async history() {
    const h = await get("/v1/history?" + historyQuery());
    const newest = h.entries.at(-1)?.entry || 0;
    // What was paged in stays below the fresh page.
    known.history = [...h.entries, ...known.history.filter((e) => e.entry < newest)];
    if (known.history.length === h.entries.length) known.more = h.more;
  },
};

function historyQuery(before) {
  const q = new URLSearchParams({ kind: "pr", limit: "50" });
  if ($("history-lun").value) q.set("lun", $("history-lun").value);
  if ($("history-refused").checked) q.set("refused", "true");
  if (before) q.set("before", before);
  return q;
}

async function load(...names) {
  const due = names.filter((n) => !loading.has(n));
  due.forEach((n) => loading.add(n));
  const results = await Promise.allSettled(due.map((n) => loaders[n]()));
  due.forEach((n) => loading.delete(n));
  showAll();
  const bad = results.find((r) => r.status === "rejected");
  if (bad) failed(bad.reason);
}

// Regular looks, and one right after something happened.
let ticks = 0;
function tick() {
  if (document.hidden) return;
  ticks++;
  const due = ["status"];
  if (ticks % 2 === 0) due.push("sessions");
  if (ticks % 3 === 0) due.push("reservations");
  load(...due);
}

let soon = 0;
function lookSoon() {
  clearTimeout(soon);
  soon = setTimeout(() => load("status", "reservations", "sessions", "history"), 150);
}

function arrived(e) {
  known.events = [e, ...known.events].slice(0, keepEvents);
  lookSoon();
}

function streamState(state) {
  const live = $("live");
  if (live.dataset.state === "locked" && state === "off") return;
  live.dataset.state = state;
  live.textContent = { on: "live", off: "reconnecting", locked: "locked" }[state];
}

// What buttons do. All of them ask first.
const actions = {
  token: askToken,
  async older() {
    const h = await get("/v1/history?" + historyQuery(known.history.at(-1).entry));
    known.history = [...known.history, ...h.entries];
    known.more = h.more;
    showAll();
  },
  kill({ session }) {
    const s = known.sessions.items.find((x) => x.id === session);
    if (!s) return;
    ask({
      title: "End the session of " + s.host + "?", yes: "End session", danger: true,
      lines: ["Session " + s.id + " from " + s.address + ": " + plural(s.commands, "command") + " under way will be aborted. The initiator may log in again at once; to keep it out, fence it or take it off the list."],
      run: () => change("DELETE", "/v1/sessions/" + encodeURIComponent(s.id)).then(lookSoon),
    });
  },
  clear({ lun }) {
    const r = known.reservations.find((x) => x.lun === lun);
    if (!r) return;
    const hosts = new Map();
    for (const g of r.registrations) {
      const h = hosts.get(g.host) || { n: 0, live: false };
      hosts.set(g.host, { n: h.n + 1, live: h.live || g.live });
    }
    const gone = [...hosts].slice(0, 10).map(([h, x]) => plural(x.n, "registration") + " of " + h + (x.live ? ", logged in now" : ", no session"));
    if (hosts.size > 10) gone.push("and those of " + (hosts.size - 10) + " more machines");
    if (r.type) gone.unshift("the reservation, " + r.type + (r.holder_host ? ", held by " + r.holder_host : ""));
    if (r.legacy) gone.unshift("the SPC-2 reservation");
    if (r.condition !== "normal") gone.unshift("what is left of the reservation information");
    ask({
      title: "Clear the reservations of " + lun + "?", yes: "Clear " + lun, danger: true,
      lines: ["This removes:", gone, "Afterwards every machine that sees the disk may write, those that were fenced too. Two machines that write at the same time destroy a file system."],
      run: () => change("DELETE", "/v1/luns/" + encodeURIComponent(lun) + "/reservations", { ifMatch: r.version }).then(lookSoon),
    });
  },
  resize({ lun }) {
    const l = known.status.luns.find((x) => x.name === lun);
    if (!l) return;
    ask({
      title: "Resize " + lun, yes: "Resize",
      lines: ["It has " + size(l.bytes) + " and can only grow. Machines that use it learn of the new size at once."],
      field: { label: "New size", value: size(l.bytes) },
      async run(text) {
        const n = bytes(text);
        if (!(n > 0)) throw new Error("A size is a number with a unit, such as 20 GiB.");
        await change("PATCH", "/v1/luns/" + encodeURIComponent(lun), { ifMatch: l.version, body: { bytes: n } });
        lookSoon();
      },
    });
  },
  "clear-failure"({ lun }) {
    const l = known.status.luns.find((x) => x.name === lun);
    if (!l) return;
    ask({
      title: "Let " + lun + " take writes again?", yes: "Clear failure", danger: true,
      lines: [l.failure, "What was acknowledged and not yet flushed may be gone. Look at the storage and at the data first."],
      run: () => change("DELETE", "/v1/luns/" + encodeURIComponent(lun) + "/failure", { ifMatch: l.version }).then(lookSoon),
    });
  },
};

function askToken() {
  ask({
    title: tokenTitle, yes: "Use it", lines: ["Changes need the token of this daemon. It is kept until this tab is closed."],
    async run() {
      await get("/v1/status");
      $("live").dataset.state = "off";
      lookSoon();
    },
  });
}

document.addEventListener("click", (e) => {
  const b = e.target.closest("[data-action]");
  if (b && !b.disabled) Promise.resolve(actions[b.dataset.action](b.dataset)).catch(failed);
});

for (const id of ["history-lun", "history-refused"]) {
  $(id).addEventListener("change", () => {
    known.history = [];
    load("history");
  });
}

document.addEventListener("visibilitychange", tick);
setInterval(tick, 2000);
load("status", "reservations", "sessions", "history");
follow(arrived, streamState);
