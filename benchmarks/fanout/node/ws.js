// node ws.js PORT REDIS_PORT CHANNEL: every message of the channel to all clients, as ws's documentation broadcasts.
"use strict";
const { WebSocket, WebSocketServer } = require("ws");
const { subscribe, untilInputEnds } = require("./redis.js");

const [port, redisPort, channel] = process.argv.slice(2);
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), backlog: 1024 });
subscribe(Number(redisPort), channel, (payload) => {
  for (const client of server.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(payload, { binary: false });
  }
});
untilInputEnds();
