/* Lists hosts and tasks every few seconds, and follows the log of the chosen task. */

import { byId, button, make } from "/page/dom.js";
import { keyHeaders, setKey, takeKey } from "/page/manager_api.js";
import { followStream } from "/experiments/files/log_stream.js";

const REFRESH_MS = 5000;
const LINES_SHOWN = 5000;
const PARTS = ["account", "organization", "project"];
const STATES = { Completed: "good", Running: "some", Queued: "some" };

let chosen = "";
let following = null;

function tenant() {
  return Object.fromEntries(PARTS.map((part) => [part, byId(part).value.trim()]));
}

async function ask(path) {
  const query = new URLSearchParams();
  for (const [part, value] of Object.entries(tenant())) if (value) query.set(`${part}Identifier`, value);
  const answer = await fetch(`/v1/chaos/linux${path}?${query}`, { headers: keyHeaders(), cache: "no-store" });
  if (!answer.ok) throw Object.assign(new Error(`The manager answered ${answer.status}.`), { status: answer.status });
  return (await answer.json()).items;
}

const shortTime = (text) => (text ? text.replace("T", " ").replace(/(\.\d+)?Z$/, "") : "–");

function cell(text, attributes = {}) {
  return make("td", text, attributes);
}

function infraRow(infra) {
  const state = infra.isActive ? ["active", "good"] : infra.confirmedAt ? ["silent", "bad"] : ["not confirmed", "some"];
  const cells = [cell(infra.name), cell(infra.hostname || "–"), cell(infra.version || "–"), cell(state[0], { class: state[1] })];
  return make("tr", null, {}, [...cells, cell(shortTime(infra.lastHeartbeat))]);
}

function taskRow(task) {
  const name = button(task.taskName, () => choose(task), { class: "link" });
  const status = cell(task.status, { class: STATES[task.status] || "bad" });
  if (task.message) status.append(make("small", task.message));
  const cells = [make("td", null, {}, [name]), cell(task.fault), status, cell(shortTime(task.createdAt)), cell(shortTime(task.endedAt))];
  return make("tr", null, { "aria-selected": String(task.taskName === chosen) }, cells);
}

function none(columns, text) {
  return make("tr", null, {}, [cell(text, { colspan: columns })]);
}

async function refresh() {
  try {
    const [infras, tasks] = await Promise.all([ask("/infras"), ask("/tasks")]);
    byId("infras").replaceChildren(...(infras.length ? infras.map(infraRow) : [none(5, "No host is registered for this account.")]));
    byId("tasks").replaceChildren(...(tasks.length ? tasks.map(taskRow) : [none(5, "No task was made.")]));
    byId("problem").hidden = true;
    document.body.dataset.ready = "";
  } catch (error) {
    if (error.status === 401) return showLogin("The manager does not know this key.");
    byId("problem").textContent = error.message;
    byId("problem").hidden = false;
  }
  return null;
}

function lineItem(line) {
  const item = make("li", null, { class: line.level });
  item.append(make("time", shortTime(line.time)), " ", make("span", line.out));
  const args = Object.entries(line.args || {}).map(([name, value]) => `${name}=${value}`);
  if (args.length) item.append(" ", make("span", args.join(" "), { class: "args" }));
  return item;
}

function choose(task) {
  following?.abort();
  following = new AbortController();
  chosen = task.taskName;
  byId("log").hidden = false;
  byId("log-title").textContent = task.taskName;
  const lines = byId("lines");
  lines.replaceChildren();
  const state = (text) => (byId("log-state").textContent = text);
  const add = (line) => {
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    lines.append(lineItem(line));
    if (lines.childElementCount > LINES_SHOWN) lines.firstElementChild.remove();
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  };
  followStream({ account: task.accountID, key: task.streamID }, keyHeaders, { add, state }, following.signal);
  refresh();
}

function showLogin(text) {
  byId("login-error").textContent = text;
  byId("login").hidden = false;
  byId("tenant").hidden = byId("columns").hidden = true;
}

function showLists() {
  byId("login").hidden = true;
  byId("tenant").hidden = byId("columns").hidden = false;
  refresh();
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value.trim());
  showLists();
});
byId("tenant").addEventListener("submit", (event) => {
  event.preventDefault();
  const rest = new URLSearchParams(Object.entries(tenant()).filter(([, value]) => value));
  history.replaceState(null, "", `${location.pathname}${location.search}#${rest}`);
  refresh();
});

const hasKey = takeKey();
const given = new URLSearchParams(location.hash.slice(1));
const asked = new URLSearchParams(location.search); // as the map's address names a tenant
for (const part of PARTS) {
  byId(part).value = given.get(part) || asked.get(`${part}Identifier`) || (part === "account" ? "default" : "");
}
if (hasKey) showLists();
else showLogin("");
setInterval(() => byId("columns").hidden || refresh(), REFRESH_MS);
