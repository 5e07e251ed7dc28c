// The "Server-Sent Events" panel: the live list, the form, the burst, and the round trip of one's own messages.

import { createAnnouncer, parse, rememberName, row } from "./messages.js";
import { openStream } from "./stream.js";
import { byId, element, enableCopy, formatCount, formatMs, median, plural, showState } from "./ui.js";

const EVENTS = "/events";
const PUBLISH = "/publish";
const SHOWN = 200; // messages kept in the list
const BURST = 100;
const LANES = 4; // posts at a time: a browser has six HTTP/1.1 connections and the two streams hold two
const ANSWER = 10000; // ms to wait for the answer to a post
const ARRIVAL = 5000; // ms to wait for one's own message
const TRIPS = 100; // round trips the median looks back on

export function mount(section) {
  const form = byId("sse-form");
  const nameField = byId("sse-name");
  const textField = byId("sse-text");
  const burstButton = byId("sse-burst");
  const errorBox = byId("sse-error");
  const statusBox = byId("sse-status");

  showCommand(byId("curl-listen"), "curl -N", EVENTS);
  showCommand(byId("curl-publish"), "curl -d 'hello'", PUBLISH);
  enableCopy(section);

  const trips = createTrips();
  const feed = createFeed();

  openStream(EVENTS, {
    onMessage: (data) => {
      const message = parse(data);
      message.trip = trips.arrived(message.id);
      feed.add(message);
    },
    onState: (state) => showState("connection", state),
  });

  rememberName(nameField);

  textField.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  textField.addEventListener("input", () => textField.removeAttribute("aria-invalid"));

  let turn = 0; // the latest send or burst owns the status line

  function fail(message) {
    statusBox.textContent = "";
    errorBox.textContent = message;
  }

  function begin(message) {
    errorBox.textContent = "";
    statusBox.textContent = message;
    return ++turn;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = textField.value;
    if (!text.trim()) {
      fail("Write a message first.");
      textField.setAttribute("aria-invalid", "true");
      textField.focus();
      return;
    }
    textField.removeAttribute("aria-invalid");
    const mine = begin("Sending…");
    textField.value = "";
    textField.focus();
    try {
      const { answer, arrival } = await send(text);
      const sent = published(answer);
      if (mine === turn) statusBox.textContent = sent;
      const trip = await arrival;
      if (mine !== turn) return;
      statusBox.textContent = trip === null
        ? `${sent}. It has not come back yet: is the stream live?`
        : `${sent}. Back here in ${formatMs(trip)} ms.`;
    } catch (error) {
      if (!textField.value) textField.value = text; // nothing typed meanwhile: hand the words back
      if (mine === turn) fail(error.message);
    }
  });

  burstButton.addEventListener("click", async () => {
    if (burstButton.getAttribute("aria-disabled") === "true") return;
    burstButton.setAttribute("aria-disabled", "true");
    const mine = begin(`Sending ${BURST} messages…`);
    const start = performance.now();
    const arrivals = [];
    let next = 1;
    let failure = null;
    const lane = async () => {
      while (next <= BURST && !failure) {
        const number = next++;
        try {
          arrivals.push((await send(`Burst ${number} of ${BURST}`)).arrival);
        } catch (error) {
          failure ??= error;
        }
      }
    };
    try {
      await Promise.all(Array.from({ length: LANES }, lane));
      const took = performance.now() - start;
      const times = (await Promise.all(arrivals)).filter((trip) => trip !== null);
      if (mine !== turn) return;
      if (failure) {
        fail(`The burst stopped after ${plural(arrivals.length, "message")}. ${failure.message}`);
        return;
      }
      statusBox.textContent =
        `${BURST} published in ${formatMs(took)} ms (${formatCount((BURST * 1000) / took)} per second), ` +
        `${times.length === BURST ? "all" : times.length} came back` +
        (times.length ? `, median round trip ${formatMs(median(times))} ms.` : ".");
    } finally {
      burstButton.removeAttribute("aria-disabled");
    }
  });

  /** Publishes one message. Answers once the server has; `arrival` gives its round trip in ms, or null. */
  async function send(text) {
    const id = randomId();
    const body = JSON.stringify({ name: nameField.value.trim() || "anonymous", text, at: Date.now(), id });
    const arrival = trips.departed(id);
    try {
      return { answer: await publish(body), arrival };
    } catch (error) {
      trips.cancel(id);
      throw error;
    }
  }
}

/** The <wbr> lets a narrow screen break the line before the path, and is no part of the copied text. */
function showCommand(code, command, path) {
  const url = element("span", "url");
  url.append(location.origin, element("wbr"), path);
  code.replaceChildren(`${command} `, url);
}

async function publish(body) {
  let response;
  try {
    response = await fetch(PUBLISH, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      signal: AbortSignal.timeout(ANSWER),
    });
  } catch (error) {
    throw new Error(error.name === "TimeoutError"
      ? `No answer in ${ANSWER / 1000} seconds. If this page is open in many tabs, close some: they share six connections.`
      : "The server cannot be reached. Is it running?");
  }
  if (response.ok) return response.json().catch(() => null);
  response.body?.cancel().catch(() => {});
  if (response.status === 503) throw new Error("The message broker is away, so nothing was published. Try again in a moment.");
  if (response.status === 413) throw new Error("The message is too large for this server.");
  throw new Error(`Not published: the server answered ${response.status}.`);
}

function published(answer) {
  if (typeof answer?.channel !== "string" || typeof answer.receivers !== "number") return "Published";
  return `Published on “${answer.channel}” to ${plural(answer.receivers, "receiver")}`;
}

/** Matches one's own messages as they come back, and shows how long they took. */
function createTrips() {
  const away = new Map();
  const recent = [];
  let scheduled = false;

  function settle(id, trip) {
    const entry = away.get(id);
    if (!entry) return;
    away.delete(id);
    clearTimeout(entry.timer);
    entry.resolve(trip);
  }

  function show() {
    scheduled = false;
    byId("round-trip").textContent = formatMs(recent.at(-1));
    byId("round-trip-note").textContent =
      recent.length > 1 ? `median ${formatMs(median(recent))} ms` : "publish to arrival";
  }

  return {
    departed(id) {
      return new Promise((resolve) => {
        away.set(id, { start: performance.now(), timer: setTimeout(() => settle(id, null), ARRIVAL), resolve });
      });
    },
    cancel: (id) => settle(id, null),
    arrived(id) {
      const entry = away.get(id);
      if (!entry) return null;
      const trip = performance.now() - entry.start;
      settle(id, trip);
      recent.push(trip);
      if (recent.length > TRIPS) recent.shift();
      if (!scheduled) {
        scheduled = true;
        requestAnimationFrame(show);
      }
      return trip;
    },
  };
}

/** The list. Messages wait for the next frame, so that thousands per second cost one update of the page per frame. */
function createFeed() {
  const list = byId("sse-messages");
  const pauseButton = byId("sse-pause");
  const announce = createAnnouncer(byId("sse-announce"));
  let waiting = [];
  let received = 0;
  let held = 0;
  let paused = false;
  let scheduled = false;

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(flush);
  }

  function flush() {
    scheduled = false;
    byId("sse-count").textContent = formatCount(received);
    if (paused) {
      pauseButton.textContent = held ? `Resume (${formatCount(held)} new)` : "Resume";
      return;
    }
    if (waiting.length) {
      list.prepend(...waiting.reverse().map(row));
      waiting = [];
      while (list.childElementCount > SHOWN) list.lastElementChild.remove();
    }
    byId("sse-empty").hidden = list.childElementCount > 0;
  }

  pauseButton.addEventListener("click", () => {
    paused = !paused;
    held = 0;
    pauseButton.classList.toggle("on", paused);
    pauseButton.textContent = paused ? "Resume" : "Pause";
    schedule();
  });

  byId("sse-clear").addEventListener("click", () => {
    list.replaceChildren();
    waiting = [];
    received = 0;
    held = 0;
    schedule();
  });

  return {
    add(message) {
      received += 1;
      if (paused) held += 1;
      else announce(message);
      waiting.push(message);
      if (waiting.length > SHOWN) waiting.shift();
      schedule();
    },
  };
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9)); // randomUUID needs https
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
