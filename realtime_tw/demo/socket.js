// A WebSocket that never gives up: when the connection ends, it opens another one, more and more slowly.

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 10000;

/**
 * @param path where it is on this server
 * @param onMessage called with each message: a string, or an ArrayBuffer
 * @param onState called with "connecting", "live" or "reconnecting" as it changes
 * @param onClose called with the code and the reason when the server ended a connection
 * @param greets whether a connection counts as live when ready() is called, and not when it is open
 * @returns send(data): false when there is no open connection; isLive(); ready(); restart(): open another connection;
 *   expect(ms): do so whenever nothing came for that time
 */
export function openSocket(path, { onMessage, onState = () => {}, onClose = () => {}, greets = false }) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let socket = null;
  let isLive = false;
  let wasLive = false;
  let state = "";
  let delay = FIRST_DELAY;
  let patience = 0;
  let retryTimer;
  let silenceTimer;

  function enter(next) {
    if (next === state) return;
    state = next;
    onState(next);
  }

  function connect() {
    drop();
    enter(wasLive ? "reconnecting" : "connecting");
    const current = new WebSocket(url);
    current.binaryType = "arraybuffer";
    socket = current;
    current.onopen = () => { if (!greets) ready(); };
    current.onmessage = (event) => {
      if (current !== socket) return;
      listen();
      onMessage(event.data);
    };
    current.onclose = (event) => {
      if (current !== socket) return;
      restart();
      onClose(event.code, event.reason);
    };
  }

  function ready() {
    isLive = true;
    wasLive = true;
    delay = FIRST_DELAY;
    enter("live");
  }

  function listen() {
    clearTimeout(silenceTimer);
    if (patience) silenceTimer = setTimeout(restart, patience);
  }

  function drop() {
    clearTimeout(retryTimer);
    clearTimeout(silenceTimer);
    const old = socket;
    socket = null;
    isLive = false;
    patience = 0;
    old?.close();
  }

  function restart() {
    drop();
    enter("reconnecting");
    retryTimer = setTimeout(connect, delay * (0.75 + Math.random() / 2)); // spread: all the pages come back at once
    delay = Math.min(delay * 2, LONGEST_DELAY);
  }

  addEventListener("pagehide", drop); // lets the page into the back/forward cache
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  addEventListener("online", () => { if (!socket) connect(); });

  connect();
  return {
    send(data) {
      if (socket?.readyState !== WebSocket.OPEN) return false;
      socket.send(data);
      return true;
    },
    isLive: () => isLive,
    ready,
    restart,
    expect(ms) {
      patience = ms;
      listen();
    },
  };
}
