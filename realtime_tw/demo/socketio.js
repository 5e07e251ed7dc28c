// A small Socket.IO client: protocol revision 5 over Engine.IO 4, over WebSocket only, main namespace only. Pages that
// may load scripts from elsewhere, or bundle them, use the official one; this one shows that the protocol is no secret.

import { openSocket } from "./socket.js";

const OPEN = "0", CLOSE = "1", PING = "2", PONG = "3", MESSAGE = "4"; // Engine.IO
const CONNECT = "0", DISCONNECT = "1", EVENT = "2", ACK = "3", CONNECT_ERROR = "4"; // Socket.IO
const BINARY_EVENT = "5", BINARY_ACK = "6";

/**
 * @param auth goes with the CONNECT packet
 * @param onEvent called with each event's name and the list of its arguments
 * @param onState called with "connecting", "live" or "reconnecting" as it changes
 * @param onRefused called with the server's reason when it refuses the connection
 */
export function connect({ path = "/socket.io/", auth, onEvent, onState, onRefused = () => {} }) {
  const answers = new Map();
  let lastId = -1;
  let partial = null; // a packet whose attachments are still to come

  const socket = openSocket(`${path}?EIO=4&transport=websocket`, {
    greets: true,
    onMessage: (data) => {
      try {
        receive(data);
      } catch (error) {
        console.warn("not Socket.IO", error);
        socket.restart();
      }
    },
    onState: (state) => {
      partial = null;
      if (state !== "live") abandon();
      onState(state);
    },
  });

  function receive(data) {
    if (typeof data !== "string") {
      if (!partial) throw new Error("an attachment without a packet");
      partial.attachments.push(data);
      if (partial.attachments.length === partial.count) finish();
      return;
    }
    const rest = data.slice(1);
    switch (data[0]) {
      case OPEN: {
        const { pingInterval, pingTimeout } = JSON.parse(rest);
        socket.expect(pingInterval + pingTimeout);
        socket.send(MESSAGE + CONNECT + (auth ? JSON.stringify(auth) : ""));
        break;
      }
      case PING:
        socket.send(PONG + rest);
        break;
      case MESSAGE:
        packet(rest);
        break;
      case CLOSE:
        socket.restart();
        break;
    }
  }

  function packet(text) {
    const [, type, count, id, json] = /^([0-6])(?:(\d+)-)?(\d*)(.*)$/s.exec(text);
    partial = { type, id, count: Number(count ?? 0), values: json ? JSON.parse(json) : [], attachments: [] };
    if (!partial.count) finish();
  }

  function finish() {
    const { type, id, values, attachments } = partial;
    partial = null;
    switch (type) {
      case CONNECT:
        socket.ready();
        break;
      case EVENT:
      case BINARY_EVENT: {
        const [event, ...args] = attached(values, attachments);
        onEvent(event, args);
        if (id) socket.send(MESSAGE + ACK + id + "[]");
        break;
      }
      case ACK:
      case BINARY_ACK:
        answers.get(Number(id))?.(attached(values, attachments));
        break;
      case CONNECT_ERROR:
        onRefused(String(values.message));
        socket.restart();
        break;
      case DISCONNECT:
        socket.restart();
        break;
    }
  }

  function abandon() {
    for (const answer of answers.values()) answer(null);
  }

  return {
    /** Sends an event; false when not connected. */
    emit: (event, args) => socket.isLive() && socket.send(MESSAGE + EVENT + JSON.stringify([event, ...args])),

    /** Sends an event and waits for the values that acknowledge it. */
    async request(event, args, timeout) {
      if (!socket.isLive()) throw new Error("Not connected. Try again when the chat is live.");
      const id = ++lastId;
      let timer;
      try {
        const values = await new Promise((resolve, reject) => {
          timer = setTimeout(() => reject(new Error(`No answer in ${timeout / 1000} seconds.`)), timeout);
          answers.set(id, resolve);
          socket.send(MESSAGE + EVENT + id + JSON.stringify([event, ...args]));
        });
        if (values === null) throw new Error("The connection was lost before the server answered.");
        return values;
      } finally {
        clearTimeout(timer);
        answers.delete(id);
      }
    },
  };
}

/** The values, with the attachments in the places that were kept for them. */
function attached(value, attachments) {
  if (!attachments.length || value === null || typeof value !== "object") return value;
  if (value._placeholder === true) return attachments[value.num];
  if (Array.isArray(value)) return value.map((item) => attached(item, attachments));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, attached(item, attachments)]));
}
