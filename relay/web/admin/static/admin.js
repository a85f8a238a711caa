// What makes the pages more convenient. Every page works without it.

const pad = (number) => String(number).padStart(2, "0");
const clock = (moment) =>
  `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())} ` +
  `${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;

// --- times in the operator's own zone ------------------------------------------------------

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "your time zone";

for (const element of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(element.dateTime);
  element.title = `${element.textContent} UTC`;
  element.textContent = clock(moment);
}
for (const element of document.querySelectorAll("[data-zone]")) {
  element.textContent = `Times are in ${zone}${zone === "UTC" ? "" : "; hover for UTC"}.`;
}

const form = document.querySelector("form[data-local-times]");
if (form) {
  // Without this the fields are UTC, and their labels say so.
  const ahead = -new Date().getTimezoneOffset();
  const given = form.elements.tz.value;
  for (const name of ["since", "until"]) {
    const field = form.elements[name];
    const value = field.getAttribute("value");
    const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN;
    if (!Number.isNaN(seconds)) {
      field.value = clock(new Date(seconds * 1000)).replace(" ", "T");
    } else if (value && Number(given || 0) !== ahead) {
      const moment = new Date(`${value}Z`).getTime() - Number(given || 0) * 60_000;
      field.value = clock(new Date(moment)).replace(" ", "T");
    }
  }
  for (const label of document.querySelectorAll(".zone-name")) label.textContent = zone;
  form.addEventListener("submit", () => {
    const timed = form.elements.since.value || form.elements.until.value;
    form.elements.tz.value = timed ? ahead : "";
    // An address is easier to read, and to pass on, without the empty fields.
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
  addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
}

// --- copying ------------------------------------------------------------------------------

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// --- exact values on drawings -------------------------------------------------------------

const tip = document.createElement("pre");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);

function show(part, x, y) {
  tip.textContent = part.dataset.tip;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - box.width - 12 : x + 16;
  const top = y + 14 + box.height > innerHeight ? y - box.height - 10 : y + 14;
  // Allowed by the Content-Security-Policy: only attributes in the markup are not.
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

for (const place of document.querySelectorAll("[data-hover]")) {
  const parts = [...place.querySelectorAll("[data-tip]")];
  // The browser's own tips would come up beside ours.
  for (const part of parts) part.querySelector("title")?.remove();
  let on = null;
  const mark = (part) => {
    on?.classList.remove("on");
    on = part;
    on?.classList.add("on");
  };
  place.addEventListener("pointermove", (event) => {
    const part = event.target.closest("[data-tip]");
    mark(part);
    if (part) show(part, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  const leave = () => {
    mark(null);
    tip.hidden = true;
  };
  place.addEventListener("pointerleave", leave);
  place.addEventListener("blur", leave);
  if (place.dataset.hover !== "rows") continue;
  const said = document.querySelector("[data-said]");
  place.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
    if (event.key === "Escape") leave();
    if (!(event.key in steps) || !parts.length) return;
    event.preventDefault();
    const from = on ? parts.indexOf(on) : steps[event.key] > 0 ? -1 : parts.length;
    mark(parts[Math.min(parts.length - 1, Math.max(0, from + steps[event.key]))]);
    on.scrollIntoView({ block: "nearest" });
    const box = on.getBoundingClientRect();
    show(on, Math.min(box.left + 90, innerWidth - 200), box.bottom - 6);
    said.textContent = on.dataset.tip;
  });
}
