// node socketio.js PORT REDIS_PORT CHANNEL: every message of the channel is emitted to all clients as "message".
"use strict";
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { subscribe, untilInputEnds } = require("./redis.js");

const [port, redisPort, channel] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { serveClient: false });
http.listen({ host: "127.0.0.1", port: Number(port), backlog: 1024 });
subscribe(Number(redisPort), channel, (payload) => io.emit("message", payload.toString()));
untilInputEnds();
