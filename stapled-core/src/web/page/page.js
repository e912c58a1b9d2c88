
"use strict";
// Every text becomes an element by textContent: no name is read as HTML.
const facts = JSON.parse(document.getElementById("facts").textContent);
const now = Date.parse(facts.at);
const PART = 200;

function element(kind, text, style) {
  const made = document.createElement(kind);
  if (text !== undefined && text !== null) made.textContent = visible(String(text));
  if (style) made.className = style;
  return made;
}

// Characters that would change the direction or the lines of the text are shown by their number.
function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (hidden) => "\\u{" + hidden.charCodeAt(0).toString(16) + "}");
}

function span(milliseconds) {
  const seconds = Math.abs(milliseconds) / 1000;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  for (const [size, unit] of units) {
    if (seconds >= 2 * size || unit === "s") return Math.floor(seconds / size) + " " + unit;
  }
}

function relative(time) {
  const away = Date.parse(time) - now;
  return away < 0 ? span(away) + " ago" : "in " + span(away);
}

function bar(from, until, least) {
  const cell = element("td");
  if (!until) {
    cell.append(element("span", "–", "soft"));
    return cell;
  }
  const end = Date.parse(until), begin = from ? Date.parse(from) : now;
  const left = end > begin ? Math.min(1, Math.max(0, (end - now) / (end - begin))) : 0;
  const track = element("div", null, "bar"), rest = element("i", null, left === 0 ? "bad" : left < least ? "warn" : "");
  rest.style.width = 100 * left + "%";
  track.append(rest);
  track.title = (from ? from + " – " : "") + until;
  cell.append(track, element("span", (end < now ? "ended " : "ends ") + relative(until), "soft"));
  return cell;
}

const WORDS = { good: "good", failed: "failed", revoked: "revoked", expired: "expired", not_applicable: "no OCSP URL",
  must_staple_without_url: "must-staple without OCSP URL", problem: "problem", no_certificate: "no certificate",
  unreadable: "unreadable", waiting: "waiting" };

function nameCell(row) {
  const cell = element("td", null, "name");
  cell.append(element("b", row.certificate || row.files[0] || "–"));
  if (row.must_staple) cell.append(element("span", "must-staple", "mark"));
  const files = row.certificate ? row.files : row.files.slice(1);
  for (const file of files.slice(0, 3)) cell.append(element("span", file, "soft"));
  if (files.length > 3) cell.append(element("span", "and " + (files.length - 3) + " more", "soft"));
  if (row.serial) cell.title = "serial number " + visible(row.serial);
  return cell;
}

function stateCell(row) {
  const cell = element("td");
  const style = row.outage || row.state === "revoked" ? "bad" : row.problem ? "warn" : row.state === "good" ? "good" : "soft";
  if (row.outage) cell.append(element("span", "OUTAGE", "mark bad"));
  cell.append(element("b", (WORDS[row.state] || row.state) + (row.reason ? " (" + row.reason + ")" : ""), style));
  if (row.what) cell.append(element("span", row.what, "soft"));
  const times = [];
  if (row.since) times.push("for " + span(Math.max(0, now - Date.parse(row.since))));
  if (row.next_try) times.push("next try " + relative(row.next_try));
  cell.append(element("span", times.join(", "), "soft"));
  return cell;
}

function serversCell(row) {
  const cell = element("td");
  const wanted = row.servers.filter((server) => server.state !== "not_wanted");
  if (wanted.length === 0) cell.append(element("span", "–", "soft"));
  for (const server of wanted) {
    const style = server.state === "confirmed" ? "good" : server.state === "failed" ? "bad" : "warn";
    const line = element("div", server.server + ": ");
    line.append(element("b", server.state + (server.reason ? " (" + server.reason + ")" : ""), style));
    cell.append(line);
    if (server.what) cell.append(element("span", server.what, "soft"));
  }
  return cell;
}

function rowOf(row) {
  const line = element("tr");
  line.append(nameCell(row), stateCell(row), bar(row.staple_from, row.staple_until, 0.25),
    bar(row.certificate_from, row.certificate_until, 0.1), serversCell(row));
  return line;
}

const texts = facts.rows.map((row) => [row.certificate, row.serial, row.state, WORDS[row.state], row.reason, row.what,
  ...row.files, ...row.servers.flatMap((server) => [server.server, server.state, server.reason, server.what])]
  .filter(Boolean).join("\n").toLowerCase());

const text = document.getElementById("text"), problems = document.getElementById("problems");
const body = document.querySelector("#certificates tbody"), more = document.getElementById("more");
let fitting = [], drawn = 0;

function draw() {
  const part = document.createDocumentFragment();
  for (const row of fitting.slice(drawn, drawn + PART)) part.append(rowOf(row));
  drawn = Math.min(fitting.length, drawn + PART);
  body.append(part);
  more.hidden = drawn >= fitting.length;
  const left = facts.omitted ? "; " + facts.omitted + " more are not on this page" : "";
  document.getElementById("shown").textContent =
    fitting.length + " of " + facts.rows.length + (drawn < fitting.length ? ", " + drawn + " shown" : "") + left;
}

function filter() {
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  fitting = facts.rows.filter((row, at) =>
    (!problems.checked || row.problem) && words.every((word) => texts[at].includes(word)));
  body.replaceChildren();
  drawn = 0;
  draw();
}

function remember() {
  const words = new URLSearchParams();
  if (text.value) words.set("filter", text.value);
  if (problems.checked) words.set("problems", "1");
  history.replaceState(null, "", words.size ? "#" + words : location.pathname);
}

const health = document.getElementById("health");
health.textContent = facts.scanning ? "scanning" : facts.is_healthy ? "in order" : "not in order";
health.className = facts.is_healthy ? "good" : facts.scanning ? "warn" : "bad";
document.getElementById("version").textContent = facts.version;
document.getElementById("at").textContent = "as of " + facts.at;
for (const [name, words] of [["outages", "outages"], ...Object.entries(WORDS), ["undelivered", "not delivered"]]) {
  const number = facts.totals[name];
  if (!number && name !== "good") continue;
  const card = element("div"), style = { good: "good", outages: "bad", revoked: "bad", failed: "warn", problem: "warn",
    unreadable: "warn", undelivered: "warn", must_staple_without_url: "bad" }[name];
  card.append(element("b", number, style), words);
  document.getElementById("totals").append(card);
}
for (const one of facts.responders) {
  const line = element("tr"), state = element("td");
  state.append(element("b", one.down ? "down" : one.requests ? "asked" : "–", one.down ? "bad" : "good"));
  const failure = element("td", one.error || "–");
  if (one.error_at) failure.append(element("span", relative(one.error_at), "soft"));
  line.append(element("td", one.responder), state,
    element("td", one.certificates + (one.waiting ? ", " + one.waiting + " wait" : "")),
    element("td", one.requests + (one.failures ? ", " + one.failures + " without an answer" : "")),
    element("td", one.milliseconds === null ? "–" : one.milliseconds + " ms"), failure);
  document.querySelector("#responders tbody").append(line);
}
const down = facts.responders.filter((one) => one.down).length;
document.querySelector("#responders summary").textContent =
  "Responders: " + facts.responders.length + ", " + down + " down";
document.getElementById("responders").open = down > 0;

const words = new URLSearchParams(location.hash.slice(1));
text.value = words.get("filter") || "";
problems.checked = words.has("problems");
let waiting;
text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { filter(); remember(); }, 100); });
problems.addEventListener("change", () => { filter(); remember(); });
more.addEventListener("click", draw);
document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());
filter();
