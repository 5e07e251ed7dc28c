// A session of one of the official clients: node socketio_client.js LIBRARY URL TRANSPORTS
//
// Says "ready" once everything but the server's restart has gone as it should, then "lost" and "again".
"use strict";
const assert = require("node:assert");
const [library, url, transports] = process.argv.slice(2);
const required = require(library);
const io = required.io || required;
const isOld = library === "sio2";

const options = {
  transports: transports.split(","),
  forceNew: true,
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
  auth: { token: "secret" },
};

function event(emitter, name) {
  return new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));
}

function ask(socket, ...args) {
  return new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer)));
}

async function refusal(socket) {
  if (!isOld) return (await event(socket, "connect_error"))[0];
  const [data] = await event(socket, "error");
  return typeof data === "string" ? { message: data } : { data };
}

async function exercise(socket) {
  const args = [1, "2", { 3: [true, null, "ü€𝄞"], file: Buffer.from([1, 2, 255]) }, Buffer.from("bytes")];
  const back = event(socket, "message-back");
  socket.emit("message", ...args);
  assert.deepStrictEqual(await back, args);
  assert.deepStrictEqual(await ask(socket, "message-with-ack", ...args), args);
  assert.deepStrictEqual(await ask(socket, "message-with-ack"), []);
  socket.once("question", (word, bytes, answer) => answer(word + "!", Buffer.concat([bytes, bytes]), [bytes]));
  assert.deepStrictEqual(await ask(socket, "ask-me", "well", Buffer.from([7])), [
    "well!",
    Buffer.from([7, 7]),
    [Buffer.from([7])],
  ]);
}

async function main() {
  const socket = io(url, options);
  const auth = event(socket, "auth");
  await event(socket, "connect");
  assert.ok(socket.id);
  assert.deepStrictEqual(await auth, [isOld ? {} : { token: "secret" }]);
  const manager = socket.io;
  await exercise(socket);
  if (options.transports.length === 2) {
    while (manager.engine.transport.name !== "websocket") await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.strictEqual(manager.engine.transport.name, options.transports.at(-1));
  await exercise(socket);

  const custom = manager.socket("/custom", options);
  await event(custom, "connect");
  await exercise(custom);
  await exercise(socket);

  const nowhere = manager.socket("/nowhere", options);
  assert.strictEqual((await refusal(nowhere)).message, "Invalid namespace");
  nowhere.close();

  const stranger = io(url + (isOld ? "/private?token=wrong" : "/private"), { ...options, auth: { token: "wrong" } });
  const refused = await refusal(stranger);
  if (!isOld) assert.strictEqual(refused.message, "not you");
  assert.deepStrictEqual(refused.data, { wanted: "token" });
  stranger.close();
  const known = io(url + (isOld ? "/private?token=secret" : "/private"), options);
  await event(known, "connect");
  await exercise(known);
  known.close();

  // Being thrown out of a namespace leaves the others alone; being thrown out of all is not a lost connection.
  const left = event(custom, "disconnect");
  custom.emit("throw-me-out", false);
  assert.strictEqual((await left)[0], "io server disconnect");
  await exercise(socket);
  const other = io(url, options);
  await event(other, "connect");
  const thrown = event(other, "disconnect");
  other.emit("throw-me-out", true);
  assert.strictEqual((await thrown)[0], "io server disconnect");
  assert.ok(!other.connected);
  other.close();

  // Several heartbeats.
  let beats = 0;
  manager.engine.on(isOld ? "pong" : "heartbeat", () => beats++);
  if (library === "sio3") manager.engine.on("packet", (packet) => (beats += packet.type === "ping" ? 1 : 0));
  while (beats < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(socket.connected);

  console.log("ready");
  await event(socket, "disconnect");
  console.log("lost");
  await event(socket, "connect");
  await exercise(socket);
  console.log("again");
  socket.close();
  process.exit(0);
}

process.on("unhandledRejection", (error) => {
  console.log("failed", error);
  process.exit(1);
});
main();
