// The official emitter, and a Socket.IO server of Node's in the same cluster.
//
//   node socketio_cluster.js emitter REDIS_PORT    takes lines of JSON: {to, except, call, args, binary}
//   node socketio_cluster.js server REDIS_PORT     says its port; takes the same, and answers with JSON
"use strict";
const Redis = require("ioredis");
const readline = require("node:readline");
const [role, port] = process.argv.slice(2);
const redis = () => new Redis({ host: "127.0.0.1", port: Number(port) });

function target(io, { nsp, to, except, timeout }) {
  let chosen = nsp ? io.of(nsp) : io;
  for (const room of to || []) chosen = chosen.to(room);
  for (const room of except || []) chosen = chosen.except(room);
  return timeout ? chosen.timeout(timeout) : chosen;
}

function lines(serve) {
  readline.createInterface({ input: process.stdin }).on("line", async (line) => {
    try {
      const order = JSON.parse(line);
      if (order.binary) order.args.push(Buffer.from(order.binary));
      if (order.date) order.args.push(new Date(order.date), undefined);
      console.log(JSON.stringify((await serve(order)) ?? null));
    } catch (error) {
      console.log("failed", error);
    }
  });
}

async function emitter() {
  const { Emitter } = require("@socket.io/redis-emitter");
  const client = redis();
  const io = new Emitter(client);
  lines(async (order) => {
    target(io, order)[order.call](...order.args);
    // Its publishes are on this connection, too: they have been taken when this is answered.
    await client.ping();
    return "done";
  });
  console.log("ready");
}

async function server() {
  const { createServer } = require("node:http");
  const { Server } = require("socket.io");
  const { createAdapter } = require("@socket.io/redis-adapter");
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(redis(), redis(), { requestsTimeout: 20000 }) });
  lines(async (order) => {
    if (order.call === "fetchSockets") {
      const sockets = await target(io, order).fetchSockets();
      return sockets.map(({ id, rooms, data }) => ({ id, rooms: [...rooms].sort(), data }));
    }
    if (order.call === "allRooms") return [...(await io.of("/").adapter.allRooms())].sort();
    if (order.call === "serverSideEmit") return await io.serverSideEmitWithAck(...order.args);
    if (order.call === "emitWithAck") return await target(io, order).emitWithAck(...order.args);
    await target(io, order)[order.call](...order.args);
    return "done";
  });
  http.listen(0, "127.0.0.1", () => console.log(String(http.address().port)));
}

(role === "emitter" ? emitter : server)();
