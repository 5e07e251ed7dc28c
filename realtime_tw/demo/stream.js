// An EventSource that never gives up. The browser reconnects by itself after a lost connection, but closes for good
// when the server answers with an error (a proxy's 502 during a restart); this opens it again, more and more slowly.

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 10000;

/**
 * @param url where the stream is
 * @param onMessage called with the data of each message
 * @param onState called with "connecting", "live" or "reconnecting" as it changes
 * @param silence reopen when nothing came for so many milliseconds (0: never)
 * @returns {{open: () => void, close: () => void}}
 */
export function openStream(url, { onMessage, onState = () => {}, silence = 0 }) {
  let source = null;
  let wanted = false;
  let wasLive = false;
  let state = "";
  let delay = FIRST_DELAY;
  let retryTimer;
  let silenceTimer;

  function enter(next) {
    if (next === state) return;
    state = next;
    onState(next);
  }

  function listen() {
    clearTimeout(silenceTimer);
    if (silence) silenceTimer = setTimeout(() => { retry(); }, silence);
  }

  function connect() {
    clearTimeout(retryTimer);
    source?.close();
    enter(wasLive ? "reconnecting" : "connecting");
    const current = new EventSource(url);
    source = current;
    current.onopen = () => {
      wasLive = true;
      delay = FIRST_DELAY;
      enter("live");
      listen();
    };
    current.onmessage = (event) => {
      listen();
      onMessage(event.data);
    };
    current.onerror = () => {
      if (current !== source) return;
      clearTimeout(silenceTimer);
      enter("reconnecting");
      if (current.readyState === EventSource.CLOSED) retry();
    };
  }

  function retry() {
    source?.close();
    source = null;
    clearTimeout(silenceTimer);
    clearTimeout(retryTimer);
    enter("reconnecting");
    retryTimer = setTimeout(connect, delay * (0.75 + Math.random() / 2)); // spread: all the pages come back at once
    delay = Math.min(delay * 2, LONGEST_DELAY);
  }

  function open() {
    wanted = true;
    if (!source) connect();
  }

  function stop() {
    clearTimeout(retryTimer);
    clearTimeout(silenceTimer);
    source?.close();
    source = null;
  }

  function close() {
    wanted = false;
    stop();
  }

  addEventListener("pagehide", stop); // frees the connection, and lets the page into the back/forward cache
  addEventListener("pageshow", (event) => { if (event.persisted && wanted) connect(); });
  addEventListener("online", () => { if (wanted && !source) connect(); });

  open();
  return { open, close };
}
