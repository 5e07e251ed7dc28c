// Entry: starts the module of each panel the page holds. A new capability adds one section.panel to index.html,
// one module beside this one that exports mount(section), and one line here.

import { mount as mountSocketIO } from "./sio.js";
import { mount as mountSse } from "./sse.js";
import { mount as mountStats } from "./stats.js";
import { mount as mountWebSocket } from "./ws.js";

const panels = {
  stats: mountStats,
  sse: mountSse,
  ws: mountWebSocket,
  sio: mountSocketIO,
};

for (const [id, mount] of Object.entries(panels)) {
  const section = document.getElementById(id);
  if (!section) continue;
  try {
    mount(section);
  } catch (error) {
    console.error(`panel ${id} did not start`, error); // one broken panel must not take the others down
  }
}
