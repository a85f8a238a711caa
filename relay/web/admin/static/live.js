// Streams that are open now, as the relay tells them. What a bot sends is only ever text here.

const table = document.querySelector("[data-live]");
const body = table.tBodies[0];
const names = JSON.parse(table.dataset.names);
const state = document.querySelector("[data-state]");
const count = document.querySelector("[data-count]");
const empty = document.querySelector("[data-empty]");
const rows = new Map();
const streams = new Map();

const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const duration = (seconds) =>
  seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;

function badge(words, kind) {
  const element = document.createElement("span");
  element.className = `badge ${kind}`;
  element.textContent = words;
  return element;
}

function cells(stream) {
  const id = document.createElement("code");
  id.textContent = short(stream.stream_id, 16);
  id.title = stream.stream_id;
  const bot = stream.bot_id === null ? "none" : (names[stream.bot_id] ?? `bot ${stream.bot_id}`);
  return [
    ["", [id]],
    ["Status", [badge(stream.status, stream.status === "anomaly" ? "bad" : "open")]],
    ["Bot", stream.bot_connected ? [bot] : [`${bot} `, badge("gone", "bad")]],
    ["User", [short(stream.user_id, 12)]],
    ["Open for", [duration(stream.age_s)]],
    ["Received", [String(stream.received)]],
    ["Stored → delivered", [`${stream.stored} → ${stream.delivered}`]],
    ["Held", [String(stream.held)]],
    ["Missing", [String(stream.missing)]],
    ["Readers", [String(stream.readers)]],
  ];
}

function draw(stream) {
  let row = rows.get(stream.stream_id);
  if (!row) {
    row = body.insertRow();
    row.dataset.stream = stream.stream_id;
    rows.set(stream.stream_id, row);
  }
  row.className = stream.missing ? "anomaly" : "";
  row.replaceChildren(
    ...cells(stream).map(([label, children], index) => {
      const cell = document.createElement("td");
      if (label) cell.dataset.label = label;
      cell.className = index > 3 ? "num" : "whole";
      cell.append(...children);
      return cell;
    }),
  );
}

function told() {
  count.textContent = String(streams.size);
  empty.hidden = streams.size > 0;
}

function put(stream) {
  streams.set(stream.stream_id, { ...stream, heard: performance.now(), aged: stream.age_s });
  draw(stream);
  told();
}

function take(id) {
  streams.delete(id);
  rows.get(id)?.remove();
  rows.delete(id);
  told();
}

function say(words, on) {
  state.textContent = words;
  state.classList.toggle("on", on);
}

say("connecting…", false);
const source = new EventSource(table.dataset.live);
source.addEventListener("open", () => say("live", true));
source.addEventListener("error", () => say("connection lost, trying again…", false));
source.addEventListener("snapshot", (event) => {
  const given = JSON.parse(event.data);
  body.replaceChildren();
  rows.clear();
  streams.clear();
  for (const stream of Array.isArray(given) ? given : given.streams) put(stream);
  told();
  say("live", true);
});
for (const kind of ["opened", "changed"]) {
  source.addEventListener(kind, (event) => put(JSON.parse(event.data)));
}
source.addEventListener("closed", (event) => take(JSON.parse(event.data).stream_id));
setInterval(() => {
  for (const stream of streams.values()) {
    stream.age_s = stream.aged + (performance.now() - stream.heard) / 1000;
    const cell = rows.get(stream.stream_id)?.cells[4];
    if (cell) cell.textContent = duration(stream.age_s);
  }
}, 1000);
