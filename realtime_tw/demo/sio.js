// The "Socket.IO" panel: every message is an event "message" with one argument, {"name", "text"}.

import { createChat } from "./chat.js";
import { connect } from "./socketio.js";
import { formatMs } from "./ui.js";

const ANSWER = 10000; // ms to wait for an acknowledgement

export function mount() {
  const chat = createChat("sio", async (message) => {
    const start = performance.now();
    const [answer] = await socket.request("message", [message], ANSWER);
    if (answer?.error) throw new Error(answer.error);
    return `Acknowledged in ${formatMs(performance.now() - start)} ms`;
  });
  const socket = connect({
    onEvent: (event, [message]) => {
      if (event === "message") chat.received(message);
    },
    onState: chat.state,
    onRefused: (reason) => chat.failed(`The server refused the connection: ${reason}.`),
  });
}
