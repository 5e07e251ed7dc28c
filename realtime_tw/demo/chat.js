// One chat panel: its list, its form and its connection's state. How messages travel is the business of ws.js and sio.js.

import { createAnnouncer, parse, rememberName, row } from "./messages.js";
import { byId, showState } from "./ui.js";

const SHOWN = 200; // messages kept in the list

/**
 * @param id the panel's, which all ids in it begin with
 * @param send called with {name, text}; returns what to say of it, or a promise of that; throws what went wrong
 * @returns received(data): shows what came; state(state): shows the connection's; failed(text): shows what went wrong
 */
export function createChat(id, send) {
  const part = (name) => byId(`${id}-${name}`);
  const nameField = part("name");
  const textField = part("text");
  const feed = createFeed(part("messages"), part("empty"));
  const announce = createAnnouncer(part("announce"));
  let turn = 0; // the latest message owns the status line

  rememberName(nameField);
  textField.addEventListener("input", () => textField.removeAttribute("aria-invalid"));

  function say(status, error) {
    part("status").textContent = status;
    part("error").textContent = error;
  }

  part("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = textField.value;
    textField.focus();
    if (!text.trim()) {
      say("", "Write a message first.");
      textField.setAttribute("aria-invalid", "true");
      return;
    }
    textField.removeAttribute("aria-invalid");
    const mine = ++turn;
    textField.value = "";
    say("", "");
    try {
      const status = await send({ name: nameField.value.trim() || "anonymous", text });
      if (mine === turn) say(status, "");
    } catch (error) {
      if (!textField.value) textField.value = text; // nothing typed meanwhile: hand the words back
      if (mine === turn) say("", error.message);
    }
  });

  return {
    received(data) {
      const message = parse(data);
      feed.add(message);
      announce(message);
    },
    state(state) {
      showState(`${id}-connection`, state);
      if (state === "live") part("error").textContent = "";
    },
    failed: (text) => say("", text),
  };
}

/** The newest message is the last one; the list stays at its end unless its reader has scrolled away from there. */
function createFeed(list, empty) {
  const body = list.parentElement;
  let waiting = [];

  function flush() {
    const atEnd = body.scrollHeight - body.scrollTop - body.clientHeight < 40;
    list.append(...waiting.map(row));
    waiting = [];
    while (list.childElementCount > SHOWN) list.firstElementChild.remove();
    empty.hidden = true;
    if (atEnd) body.scrollTop = body.scrollHeight;
  }

  return {
    add(message) {
      if (!waiting.length) requestAnimationFrame(flush);
      waiting.push(message);
      if (waiting.length > SHOWN) waiting.shift();
    },
  };
}
