// The API: questions, changes, and the stream of events.

let token = sessionStorage.getItem("token") || "";

export const hasToken = () => token !== "";

export function setToken(t) {
  token = t;
  if (t) sessionStorage.setItem("token", t);
  else sessionStorage.removeItem("token");
}

// A link may bring the token behind the #, which browsers send to nobody.
const given = /^#token=([^&]+)$/.exec(location.hash);
if (given) {
  setToken(decodeURIComponent(given[1]));
  history.replaceState(null, "", location.pathname);
}

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// Unreachable says that nobody answered at all.
export class Unreachable extends Error {}

async function ask(path, options) {
  try {
    return await fetch(path, options);
  } catch (e) {
    throw new Unreachable(e.message);
  }
}

async function send(method, path, { ifMatch, body, signal, accept, after } = {}) {
  const headers = { Accept: accept || "application/json" };
  if (token) headers.Authorization = "Bearer " + token;
  if (ifMatch) headers["If-Match"] = '"' + ifMatch + '"';
  if (after) headers["Last-Event-ID"] = after;
  if (body) headers["Content-Type"] = "application/json";
  const r = await ask(path, { method, headers, signal, cache: "no-store", body: body && JSON.stringify(body) });
  if (r.ok) return r;
  let why = r.status + " " + r.statusText;
  try {
    why = (await r.json()).detail || why;
  } catch {
    // not a problem document
  }
  throw new Refused(r.status, why);
}

export const get = async (path) => (await send("GET", path, { signal: AbortSignal.timeout(15000) })).json();
export const change = (method, path, options) => send(method, path, options);

// follow hands every event to each, and says by state whether the stream lives.
// It comes back after a break and goes on where it was.
export async function follow(each, state) {
  let after = "";
  for (;;) {
    try {
      const r = await send("GET", "/v1/events", { accept: "text/event-stream", after });
      state("on");
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          if (!line.startsWith("data: ")) continue;
          const e = JSON.parse(line.slice(6));
          after = String(e.id);
          each(e);
        }
      }
    } catch (e) {
      state(e instanceof Refused && e.status === 401 ? "locked" : "off");
    }
    state("off");
    await new Promise((done) => setTimeout(done, 2000));
  }
}
