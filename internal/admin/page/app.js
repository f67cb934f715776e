import { $, body, el, fill } from "./dom.js";
import { change, follow, get, hasToken, Refused, setToken, Unreachable } from "./api.js";
import { ask, tokenTitle } from "./ask.js";
import { ago, bytes, clock, plural, size } from "./format.js";
import { board, registrations } from "./board.js";
import { note, recall } from "./chart.js";
import { disks } from "./disks.js";
import { sessions } from "./sessions.js";
import { feed, timeline } from "./story.js";
import { problems, summary } from "./summary.js";

// What the page knows: the last answers, and the newest events.
const known = { status: null, reservations: [], sessions: { items: [] }, find: "", events: [], history: [], more: false };
const keepEvents = 100;
const boardRows = 50;
const sessionRows = 100;

const words = { ok: "All is well", warning: "Needs a look", critical: "Something is broken" };

// say sets what changes seldom, so that it is read out when it does.
function say(id, text, level) {
  const e = $(id);
  if (e.textContent !== text) e.textContent = text;
  if (level) e.className = level;
}

function showStatus(s) {
  say("health", s.ready ? words[s.health] : "Starting", s.ready ? s.health : "warning");
  $("facts").textContent = s.version + ", up " + ago(s.started, Date.parse(s.time)) + ", " + s.data_dir;
  document.title = (s.health === "ok" ? "" : "(" + s.problems.length + ") ") + "nas-target";
  document.body.classList.remove("stale");
  $("problems").hidden = s.problems.length === 0;
  fill($("problems"), problems(s.problems, known.reservations));
  fill(body("summary"), summary(s));
  fill(body("disks"), disks(s.luns));
  const select = $("history-lun");
  fill(select, el("option", { value: "" }, "all"), s.luns.map((l) => el("option", { value: l.name, key: l.name }, l.name)));
}

function showAll() {
  if (!known.status) return;
  if (!down) showStatus(known.status);
  fill(body("reservations"), known.reservations.map(board));
  fill(body("sessions"), sessions(known.sessions, known.find));
  fill(body("events"), feed(known.events));
  fill(body("history"), timeline(known.history));
  $("older").hidden = !known.more;
}

let down = false;
function failed(e) {
  if (e instanceof Refused && e.status === 401) {
    $("live").dataset.state = "locked";
    $("live").textContent = "locked";
    if (hasToken()) setToken("");
    if (!$("ask").open) askToken();
    return;
  }
  down = true;
  if (e instanceof Unreachable) say("health", "The daemon does not answer", "critical");
  else if (e instanceof Refused) say("health", "The daemon refuses: " + e.message, "critical");
  else {
    say("health", "This page fails", "critical");
    console.error(e);
  }
  document.body.classList.add("stale");
  if (known.status) $("facts").textContent = "what is shown is from " + clock(known.status.time);
}

// What there is to ask for. Everything is what the page begins with and what it
// asks for after a break.
const loaders = {
  async traffic() {
    recall((await get("/v1/traffic")).items);
  },
  async status() {
    known.status = await get("/v1/status");
    down = false;
    note(known.status.luns, known.status.time);
  },
  async reservations() {
    known.reservations = (await get("/v1/reservations?rows=" + boardRows)).items;
  },
  async sessions() {
    const find = known.find;
    const list = await get("/v1/sessions?limit=" + sessionRows + (find && "&find=" + encodeURIComponent(find)));
    if (find === known.find) known.sessions = list;
  },
  async history() {
    const query = historyQuery();
    const h = await get("/v1/history?" + query);
    if (String(query) !== String(historyQuery())) return;
    const oldest = h.entries.at(-1)?.entry || 0;
    // What was paged in stays below the fresh page.
    known.history = [...h.entries, ...known.history.filter((e) => e.entry < oldest)];
    if (known.history.length === h.entries.length) known.more = h.more;
  },
};
const everything = Object.keys(loaders);

function historyQuery(before) {
  const q = new URLSearchParams({ kind: "pr", limit: "50" });
  if ($("history-lun").value) q.set("lun", $("history-lun").value);
  if ($("history-refused").checked) q.set("refused", "true");
  if (before) q.set("before", before);
  return q;
}

// load asks for some of it. What is being asked for already is asked once more
// when that is there: it may be older than what happened now.
const loading = new Set(), again = new Set();
async function load(...names) {
  const due = names.filter((n) => !loading.has(n));
  names.filter((n) => loading.has(n)).forEach((n) => again.add(n));
  if (due.length === 0) return;
  due.forEach((n) => loading.add(n));
  const results = await Promise.allSettled(due.map((n) => loaders[n]()));
  due.forEach((n) => loading.delete(n));
  showAll();
  const bad = results.find((r) => r.status === "rejected");
  if (bad) failed(bad.reason);
  const once = due.filter((n) => again.delete(n));
  if (once.length > 0) lookSoon(...once);
}

// Regular looks, and one right after something happened: soon, and no more than
// a few each second however much happens.
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
const wanted = new Set();
function lookSoon(...names) {
  names.forEach((n) => wanted.add(n));
  soon ||= setTimeout(() => {
    soon = 0;
    const due = [...wanted];
    wanted.clear();
    load(...due);
  }, 250);
}

const changed = () => lookSoon("status", "reservations", "sessions", "history");

// arrived shows an event. A gap in the numbers is events that were dropped; the
// numbers of another daemon begin far beyond.
let lastEvent = 0;
function arrived(e) {
  const missed = lastEvent ? e.id - lastEvent - 1 : 0;
  lastEvent = e.id;
  const news = missed > 0 && missed < 1e6 ? [e, { missed, id: e.id }] : [e];
  known.events = [...news, ...known.events].slice(0, keepEvents);
  changed();
}

function streamState(state) {
  const live = $("live");
  if (live.dataset.state === "locked" && state === "off") return;
  live.dataset.state = state;
  live.textContent = { on: "live", off: "reconnecting", locked: "locked" }[state];
  if (state === "on") lookSoon(...everything);
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
      run: () => change("DELETE", "/v1/sessions/" + encodeURIComponent(s.id)).then(changed),
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
    const shown = [...hosts].slice(0, 10).reduce((n, [, x]) => n + x.n, 0);
    if (registrations(r) > shown) gone.push("and " + plural(registrations(r) - shown, "more registration"));
    if (r.type) gone.unshift("the reservation, " + r.type + (r.holder_host ? ", held by " + r.holder_host : ""));
    if (r.legacy) gone.unshift("the SPC-2 reservation");
    if (r.condition !== "normal") gone.unshift("what is left of the reservation information");
    ask({
      title: "Clear the reservations of " + lun + "?", yes: "Clear " + lun, danger: true,
      lines: ["This removes:", gone, "Afterwards every machine that sees the disk may write, those that were fenced too. Two machines that write at the same time destroy a file system."],
      run: () => change("DELETE", "/v1/luns/" + encodeURIComponent(lun) + "/reservations", { ifMatch: r.version }).then(changed),
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
        changed();
      },
    });
  },
  retry({ lun }) {
    const l = known.status.luns.find((x) => x.name === lun);
    if (!l) return;
    ask({
      title: "Open " + lun + " again?", yes: "Open",
      lines: [l.failure, "Until it is open its initiators find it not ready; then they go on where they were. The other disks do not notice."],
      run: () => change("POST", "/v1/luns/" + encodeURIComponent(lun) + "/retry").then(changed),
    });
  },
  "clear-failure"({ lun }) {
    const l = known.status.luns.find((x) => x.name === lun);
    if (!l) return;
    ask({
      title: "Let " + lun + " take writes again?", yes: "Clear failure", danger: true,
      lines: [l.failure, "What was acknowledged and not yet flushed may be gone. Look at the storage and at the data first."],
      run: () => change("DELETE", "/v1/luns/" + encodeURIComponent(lun) + "/failure", { ifMatch: l.version }).then(changed),
    });
  },
};

function askToken() {
  ask({
    title: tokenTitle, yes: "Use it", lines: ["Changes need the token of this daemon. It is kept until this tab is closed."],
    async run() {
      await get("/v1/status");
      $("live").dataset.state = "off";
      lookSoon(...everything);
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

$("find").addEventListener("input", () => {
  known.find = $("find").value.trim();
  lookSoon("sessions");
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) load(...everything);
});
setInterval(tick, 2000);
load(...everything);
follow(arrived, streamState);
