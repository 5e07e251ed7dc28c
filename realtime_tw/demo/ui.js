// Small helpers the panels share. Text from the network only ever goes through textContent.

export const byId = (id) => document.getElementById(id);

/** An element with a class and a text: `element("span", "who", "Ada")`. */
export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const STATES = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting" };

/** Shows a connection's state: as data-state on the element of this id, in a word in the one whose id ends in -text. */
export function showState(id, state) {
  byId(id).dataset.state = state;
  byId(`${id}-text`).textContent = STATES[state];
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export const formatCount = (value) =>
  !isNumber(value) ? "–" : value < 1e6 ? whole.format(value) : short.format(value);

export const formatRate = (value) =>
  !isNumber(value) ? "–" : value < 10 ? tenths.format(value) : value < 1e5 ? whole.format(value) : short.format(value);

export const formatMs = (value) =>
  !isNumber(value) ? "–" : value < 100 ? value.toFixed(1) : whole.format(value);

export const plural = (count, noun) => `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

export function formatDuration(seconds) {
  if (!isNumber(seconds) || seconds < 0) return "–";
  const s = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two(Math.floor(s / 60) % 60)}m`;
  return `${whole.format(Math.floor(s / 86400))}d ${Math.floor(s / 3600) % 24}h`;
}

export function median(values) {
  if (!values.length) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Makes every [data-copy] button in `root` copy the text of the element it names. */
export function enableCopy(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    let timer;
    button.addEventListener("click", async () => {
      const source = byId(button.dataset.copy);
      const done = await copy(source);
      button.textContent = done ? "Copied" : "Selected";
      clearTimeout(timer);
      timer = setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }
}

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent); // absent on plain http from another host
    return true;
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(source);
    const done = document.execCommand("copy");
    if (done) selection.removeAllRanges();
    return done;
  }
}
