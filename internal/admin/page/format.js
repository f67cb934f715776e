// Numbers and moments as people say them.

export function size(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  const digits = n >= 100 || Number.isInteger(n) ? 0 : 1;
  return n.toFixed(digits) + " " + units[i];
}

// bytes reads a size such as 20GiB; NaN if it is none.
export function bytes(text) {
  const m = /^\s*([0-9]+(?:\.[0-9]+)?)\s*(|B|KiB|MiB|GiB|TiB|PiB)\s*$/i.exec(text);
  if (!m) return NaN;
  const power = ["", "kib", "mib", "gib", "tib", "pib"].indexOf(m[2].toLowerCase().replace(/^b$/, ""));
  return Math.round(Number(m[1]) * 1024 ** power);
}

export function count(n) {
  const units = ["", "k", "M", "G", "T"];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return (i > 0 && n < 9.95 ? n.toFixed(1) : n.toFixed(0)) + units[i];
}

export function latency(s) {
  if (!s) return "–";
  if (s < 0.001) return (s * 1e6).toFixed(0) + " µs";
  if (s < 1) return (s * 1e3).toFixed(s < 0.01 ? 1 : 0) + " ms";
  return s.toFixed(1) + " s";
}

const two = (n) => String(n).padStart(2, "0");

export function clock(text) {
  const t = new Date(text);
  return two(t.getHours()) + ":" + two(t.getMinutes()) + ":" + two(t.getSeconds());
}

export function day(text, now = new Date()) {
  const t = new Date(text);
  if (t.toDateString() === now.toDateString()) return "Today";
  return t.toLocaleDateString("en", { weekday: "short", month: "short", day: "numeric", year: t.getFullYear() === now.getFullYear() ? undefined : "numeric" });
}

// when says a moment shortly, on the day that now is.
export function when(text, now = new Date()) {
  if (!text || text.startsWith("0001-")) return "";
  const t = new Date(text);
  if (t.toDateString() === now.toDateString()) return clock(text);
  if (t.getFullYear() === now.getFullYear()) return t.toLocaleDateString("en", { month: "short", day: "numeric" }) + ", " + clock(text).slice(0, 5);
  return t.getFullYear() + "-" + two(t.getMonth() + 1) + "-" + two(t.getDate());
}

export function ago(text, now = Date.now()) {
  const s = Math.max(0, (now - new Date(text)) / 1000);
  if (s >= 172800) return Math.floor(s / 86400) + " days";
  if (s >= 7200) return Math.floor(s / 3600) + " hours";
  if (s >= 120) return Math.floor(s / 60) + " minutes";
  return Math.floor(s) + " seconds";
}

// age is how long something has lasted that should be short.
export function age(s) {
  if (s < 1) return (s * 1000).toFixed(0) + " ms";
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 120) return s.toFixed(0) + " s";
  return Math.floor(s / 60) + " min";
}

export const plural = (n, one, many) => n + " " + (n === 1 ? one : many || one + "s");

// tail is the end of an ISID, which tells sessions of one machine apart.
export const tail = (isid) => (isid.length > 8 ? "…" + isid.slice(-6) : isid);
