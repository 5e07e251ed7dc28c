// Hears of the messages on one Redis channel. The published clients do more than this benchmark should measure of Node:
// this one splits subscriber messages off and nothing else.
"use strict";
const net = require("node:net");

exports.subscribe = (port, channel, onMessage) => {
  const socket = net.connect(port, "127.0.0.1");
  let rest = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.write(`*2\r\n$9\r\nSUBSCRIBE\r\n$${Buffer.byteLength(channel)}\r\n${channel}\r\n`);
  socket.on("data", (chunk) => {
    rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
    for (let found; (found = reply(rest)); ) {
      rest = rest.subarray(found.end);
      if (found.words[0].toString("latin1") === "message") onMessage(found.words[2]);
    }
  });
  socket.on("close", () => process.exit(1));
};

// One array of bulk strings and integers at the start of the data; undefined while it is not whole.
function reply(data) {
  let place = 0;
  const line = () => {
    const end = data.indexOf("\r\n", place, "latin1");
    if (end < 0) return undefined;
    const text = data.toString("latin1", place, end);
    place = end + 2;
    return text;
  };
  const head = line();
  if (head === undefined) return undefined;
  if (head[0] !== "*") throw new Error(`Redis said ${head}`);
  const words = [];
  for (let left = Number(head.slice(1)); left; left--) {
    const size = line();
    if (size === undefined) return undefined;
    if (size[0] !== "$") {
      words.push(size.slice(1));
      continue;
    }
    const end = place + Number(size.slice(1));
    if (data.length < end + 2) return undefined;
    words.push(data.subarray(place, end));
    place = end + 2;
  }
  return { words, end: place };
}

// The server ends with its standard input.
exports.untilInputEnds = () => process.stdin.on("end", () => process.exit(0)).resume();
