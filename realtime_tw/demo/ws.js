// The "WebSocket" panel: every message is one text frame, {"name", "text"} as JSON, both ways.

import { createChat } from "./chat.js";
import { openSocket } from "./socket.js";

export function mount() {
  const chat = createChat("ws", (message) => {
    if (!socket.send(JSON.stringify(message))) throw new Error("Not connected. Try again when the chat is live.");
    return "Sent";
  });
  const socket = openSocket("/chat", {
    onMessage: chat.received,
    onState: chat.state,
    onClose: (code, reason) => {
      if (code !== 1001 && reason) chat.failed(`The server closed the connection: ${reason}.`);
    },
  });
}
