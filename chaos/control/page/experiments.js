/* Lists runs, hosts and tasks every few seconds, and follows the log of the chosen task. */

import { byId, button, make } from "/page/dom.js";
import { keyHeaders, setKey, takeKey } from "/page/manager_api.js";
import { shortTime, showLog } from "/experiments/files/log_panel.js";

const REFRESH_MS = 5000;
const PARTS = ["account", "organization", "project", "environment"];
const STATES = { Completed: "good", Running: "some", Queued: "some" };
const OF_HOSTS = PARTS.slice(0, 3); // hosts and their tasks belong to a project

let chosen = "";

function tenant() {
  return Object.fromEntries(PARTS.map((part) => [part, byId(part).value.trim()]));
}

function tenantQuery(parts) {
  const query = new URLSearchParams();
  for (const [part, value] of Object.entries(tenant())) if (value && parts.includes(part)) query.set(`${part}Identifier`, value);
  return query;
}

async function ask(path, parts = OF_HOSTS) {
  const answer = await fetch(`/v1/chaos/${path}?${tenantQuery(parts)}`, { headers: keyHeaders(), cache: "no-store" });
  if (!answer.ok) throw Object.assign(new Error(`The manager answered ${answer.status}.`), { status: answer.status });
  return (await answer.json()).items;
}

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

/* The run's name leads to its page, which has its report and its steps. */
function runRow(run) {
  const link = make("a", run.name, { href: `/experiments/run/?${tenantQuery(PARTS)}#run=${encodeURIComponent(run.runID)}` });
  const phase = cell(run.phase, { class: STATES[run.phase] || "bad" });
  if (run.message) phase.append(make("small", run.message));
  const score = run.completed ? `${run.resiliencyScore} %` : "–";
  return make("tr", null, {}, [make("td", null, {}, [link]), cell(run.infraID), phase, cell(score), cell(shortTime(run.createdAt))]);
}

function none(columns, text) {
  return make("tr", null, {}, [cell(text, { colspan: columns })]);
}

async function refresh() {
  try {
    const [infras, tasks, runs] = await Promise.all([ask("linux/infras"), ask("linux/tasks"), ask("runs", PARTS)]);
    byId("runs").replaceChildren(...(runs.length ? runs.map(runRow) : [none(5, "No run was ordered for this environment.")]));
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

function choose(task) {
  chosen = task.taskName;
  showLog(task.taskName, { account: task.accountID, key: task.streamID });
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
