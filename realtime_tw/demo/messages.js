// What the panels with messages share: what a message is, how it is shown, and the name one goes by.

import { element, formatMs, plural } from "./ui.js";

const LONGEST = 2000; // characters of one message shown
const MOST_LINES = 40; // lines of one message shown
const NAME_KEY = "realtime_tw.name";

/** What came: a form's JSON or the value it stands for, or whatever another program published, shown as it is. */
export function parse(data) {
  const received = Date.now();
  const value = valueOf(data);
  if (value !== null && typeof value === "object" && typeof value.text === "string") {
    return {
      name: (typeof value.name === "string" && value.name.trim().slice(0, 80)) || "anonymous",
      text: value.text,
      at: typeof value.at === "number" && !Number.isNaN(new Date(value.at).getTime()) ? value.at : received,
      id: value.id,
      plain: false,
      received,
    };
  }
  const isBinary = data instanceof ArrayBuffer;
  const text = isBinary ? plural(data.byteLength, "byte") : typeof data === "string" ? data : JSON.stringify(data) ?? "";
  return { name: isBinary ? "binary" : "plain text", text, at: received, id: undefined, plain: true, received };
}

function valueOf(data) {
  if (typeof data !== "string") return data;
  try {
    return JSON.parse(data);
  } catch {
    return null; // not JSON: plain text
  }
}

/** The list item of one message. */
export function row(message) {
  const item = element("li", message.plain ? "message plain fresh" : "message fresh");
  const avatar = element("span", "avatar", message.plain ? ">" : [...message.name][0].toUpperCase());
  avatar.setAttribute("aria-hidden", "true");
  if (!message.plain) avatar.style.setProperty("--hue", String(hue(message.name)));

  const meta = element("div", "meta");
  const who = element("span", "who", message.name);
  who.dir = "auto";
  meta.append(who);
  if (message.trip != null) {
    const trip = element("span", "trip", `you, ${formatMs(message.trip)} ms`);
    trip.title = "From publishing to arriving back here";
    meta.append(trip);
  }
  meta.append(timestamp(message));

  const text = element("div", "text");
  text.dir = "auto";
  const { shown, hidden } = shorten(message.text);
  if (shown) text.append(shown);
  else text.append(element("span", "cut", "empty message"));
  if (hidden) text.append("\n", element("span", "cut", `${plural(hidden, "more character")} not shown`));

  const body = element("div");
  body.append(meta, text);
  item.append(avatar, body);
  return item;
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });

function timestamp(message) {
  const date = new Date(message.at);
  const sameDay = date.toDateString() === new Date(message.received).toDateString();
  const time = element("time", "", sameDay ? clock.format(date) : full.format(date));
  time.dateTime = date.toISOString();
  time.title = `Sent ${full.format(date)}, received ${full.format(message.received)}`;
  return time;
}

function shorten(text) {
  const clean = text.replace(/\r\n?/g, "\n").replace(/\n+$/, "");
  let end = Math.min(clean.length, LONGEST);
  let at = -1;
  for (let lines = 0; lines < MOST_LINES; lines++) {
    at = clean.indexOf("\n", at + 1);
    if (at === -1) break;
  }
  if (at !== -1 && at < end) end = at;
  if (end < clean.length && /[\uD800-\uDBFF]/.test(clean[end - 1])) end -= 1; // never half a character
  return { shown: clean.slice(0, end), hidden: clean.length - end };
}

function hue(name) {
  let hash = 0x811c9dc5; // FNV-1a
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  return (hash >>> 8) % 360;
}

/** Tells a screen reader what came, at most every two seconds, so that a burst is one sentence. */
export function createAnnouncer(region) {
  let count = 0;
  let last = null;
  let timer = null;
  return (message) => {
    count += 1;
    last = message;
    timer ??= setTimeout(() => {
      region.textContent = count > 1 ? `${count} new messages` : `${last.name}: ${last.text.slice(0, 200)}`;
      count = 0;
      timer = null;
    }, 2000);
  };
}

/** A field for one's name starts with the last one used in any panel, and is remembered. */
export function rememberName(field) {
  field.value = recall();
  field.addEventListener("input", () => remember(field.value.trim()));
}

function recall() {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    return ""; // storage is blocked: the name is simply not remembered
  }
}

function remember(name) {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // as above
  }
}
