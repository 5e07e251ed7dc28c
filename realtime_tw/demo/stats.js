// The counters: one message each second from /stats, and a minute of messages per second drawn as a line.

import { openStream } from "./stream.js";
import { byId, formatCount, formatDuration, formatRate, plural } from "./ui.js";

const WINDOW = 60000;
const GAP = 3500; // a longer silence breaks the line
const WIDTH = 240;
const BASE = 46;
const TOP = 4;

export function mount(section) {
  const chart = byId("stat-sparkline");
  const line = chart.querySelector(".spark-line");
  const area = chart.querySelector(".spark-area");
  const end = chart.querySelector(".spark-end");
  let points = [];

  const stream = openStream("/stats", {
    onMessage: (data) => {
      let stats;
      try {
        stats = JSON.parse(data);
      } catch {
        return;
      }
      if (stats !== null && typeof stats === "object") show(stats);
    },
    onState: (state) => section.toggleAttribute("data-stale", state !== "live"),
    silence: 6000,
  });

  // A browser allows six HTTP/1.1 connections for a server, over all its tabs: a tab nobody sees gives this one back.
  document.addEventListener("visibilitychange", () => (document.hidden ? stream.close() : stream.open()));

  function show(stats) {
    byId("stat-subscribers").textContent = formatCount(stats.subscribers);
    byId("stat-channels").textContent = plural(stats.channels, "channel");
    byId("stat-message-rate").textContent = formatRate(stats.messages_per_second);
    byId("stat-delivery-rate").textContent = formatRate(stats.deliveries_per_second);
    byId("stat-messages").textContent = formatCount(stats.messages);
    byId("stat-deliveries").textContent = formatCount(stats.deliveries);
    byId("stat-uptime").textContent = formatDuration(stats.uptime);
    if (Number.isFinite(stats.uptime)) {
      const since = new Date(Math.round(Date.now() / 1000 - stats.uptime) * 1000);
      const today = since.toDateString() === new Date().toDateString();
      byId("stat-since").textContent = "since " + (today
        ? since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
        : since.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" }));
    }
    if (Number.isFinite(stats.messages_per_second)) draw(stats.messages_per_second);
  }

  function draw(rate) {
    const now = performance.now();
    points.push({ at: now, rate });
    points = points.filter((point) => now - point.at <= WINDOW);
    const peak = Math.max(...points.map((point) => point.rate));
    const scale = Math.max(peak, 1);
    const x = (point) => (WIDTH * (1 - (now - point.at) / WINDOW)).toFixed(1);
    const y = (point) => (BASE - (BASE - TOP) * (point.rate / scale)).toFixed(1);

    const runs = [];
    for (const point of points) {
      const run = runs.at(-1);
      if (run && point.at - run.at(-1).at < GAP) run.push(point);
      else runs.push([point]);
    }
    const outlines = runs.map((run) => run.map((point) => `${x(point)} ${y(point)}`).join("L"));
    line.setAttribute("d", outlines.map((outline) => `M${outline}`).join(""));
    area.setAttribute("d", runs.map((run, i) => `M${x(run[0])} ${BASE}L${outlines[i]}L${x(run.at(-1))} ${BASE}Z`).join(""));
    const last = points.at(-1);
    end.setAttribute("d", `M${x(last)} ${y(last)}h0`); // a line of no length with round ends: a dot that stays round
    byId("stat-peak").textContent = formatRate(peak);
    chart.setAttribute("aria-label", `Messages per second over the last minute, peak ${formatRate(peak)}`);
  }
}
