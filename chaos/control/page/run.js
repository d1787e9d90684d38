/* One run: what the map says of it, first what was not predicted, and what each of its steps did. */

import { button, byId, count, make, perFrame } from "/page/dom.js";
import { keyHeaders, setKey, takeKey } from "/page/manager_api.js";
import { shortTime, showLog } from "/experiments/files/log_panel.js";
import { drawRun } from "/experiments/files/run_map.js";
import { drawTimeline } from "/experiments/files/run_timeline.js";

const REFRESH_MS = 5000;
const MOST_DRAWN = 200; // edges; the table has all
const PHASES = { Completed: "good", Running: "some", Queued: "some", Pending: "some", Skipped: "some" };
const VERDICTS = { Pass: "good", Fail: "bad", "N/A": "some", Awaited: "some" };
const HARM = { broken: "bad", silent: "bad", degraded: "some", surging: "some", slow: "some", new: "added", ok: "ok" };
const LEGEND = [["bad", "broken, silent"], ["some", "degraded, surging, slow"], ["added", "new"], ["ok", "ok"], ["unknown", "not judged"]];

let shown = "";
let current = null;
let chosen = "";
let all = false;
let following = "";

const asked = () => new URLSearchParams(location.hash.slice(1));

async function ask(path) {
  const address = `/v1/chaos/runs/${encodeURIComponent(asked().get("run") || "")}${path}${location.search}`;
  const answer = await fetch(address, { headers: keyHeaders(), cache: "no-store" });
  if (!answer.ok) {
    const text = answer.status === 404 ? "There is no such run in this environment." : `The manager answered ${answer.status}.`;
    throw Object.assign(new Error(text), { status: answer.status });
  }
  return answer.json();
}

async function refresh() {
  try {
    const [run, impact] = await Promise.all([ask(""), ask("/impact")]);
    byId("problem").hidden = true;
    const text = JSON.stringify([run, impact]);
    if (text !== shown) {
      shown = text;
      current = { run: run.data, impact };
      draw();
    }
    document.body.dataset.ready = "";
  } catch (error) {
    if (error.status === 401) return showLogin("The manager does not know this key.");
    byId("problem").textContent = error.message;
    byId("problem").hidden = false;
    document.body.dataset.ready = "";
  }
  return null;
}

const isOver = () => current && current.run.completed && current.impact.settled;

/* Draws everything; the focus stays where it was. */
function draw() {
  const focused = document.activeElement?.dataset?.key;
  const { run, impact } = current;
  const steps = stepsOf(run);
  drawState(run);
  drawSurprises(impact);
  drawVerdict(impact);
  drawTimeline(byId("timeline"), impact.windows, steps);
  drawEdges();
  byId("steps").replaceChildren(...steps.map((step) => stepRow(step, run)));
  followAsked(steps, run);
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function drawState(run) {
  byId("name").textContent = run.experimentName;
  document.title = `Podsonar: ${run.experimentName}`;
  const score = run.completed ? `, score ${run.resiliencyScore} %` : "";
  const parts = [make("strong", run.phase, { class: PHASES[run.phase] || "bad" }), `${score} · ordered ${shortTime(new Date(run.createdAt).toISOString())} · ${run.infraID}`];
  const message = run.errorResponse || run.executionData.message;
  if (message) parts.push(make("small", message));
  byId("state").replaceChildren(...parts);
}

const listOf = (texts, attributes = {}) => make("ul", null, attributes, texts.map((text) => make("li", text)));

function edgeItem(text, report) {
  const edge = report.edges.find((one) => one.edge === text);
  const words = edge ? `${edge.state}${edge.reason ? `: ${edge.reason}` : ""}${edge.recovery ? `; afterwards ${edge.recovery}` : ""}` : "";
  const link = button(text, () => choose(text, true), { class: "link", "data-key": `surprise ${text}` });
  return make("li", null, {}, [link, make("small", words)]);
}

function drawSurprises({ report, reason }) {
  const box = byId("surprise-list");
  byId("surprises").classList.toggle("some-seen", Boolean(report?.surprises.length));
  if (!report) box.replaceChildren(make("p", `Nothing can be said: ${reason}.`));
  else if (!report.surprises.length) box.replaceChildren(make("p", "Nothing: every edge that changed was predicted."));
  else box.replaceChildren(make("ul", null, {}, report.surprises.map((text) => edgeItem(text, report))));
}

function drawVerdict({ report, settled }) {
  byId("verdict").hidden = !report;
  if (!report) return;
  const head = make("p", null, {}, [make("strong", report.verdict, { class: VERDICTS[report.verdict] })]);
  if (!settled) head.append(" – not settled: agents may still deliver windows of this time");
  const parts = [head];
  if (report.reasons.length) parts.push(listOf(report.reasons, { class: "reasons" }));
  for (const [title, member] of [["Predicted and seen", "predictedAndSeen"], ["Predicted and held", "predictedAndHeld"]]) {
    if (report[member].length) parts.push(make("h4", title), make("ul", null, {}, report[member].map((text) => edgeItem(text, report))));
  }
  if (report.prediction) parts.push(make("p", `Predicted: ${report.prediction.summary}.`));
  parts.push(make("p", report.limits.join(" "), { class: "limits" }));
  byId("verdict-text").replaceChildren(...parts);
}

/* The report's edges with what the map and the table need: worst first, then by name. */
function edgesOf(report) {
  const order = Object.keys(HARM);
  const direct = new Map((report.prediction?.direct || []).map((one) => [one.edge, one.effect]));
  const found = report.edges.map((edge) => {
    const effect = direct.get(edge.edge) || "";
    const word = edge.reason ? `${edge.state}: ${edge.reason}` : edge.state;
    return { ...edge, key: edge.edge, predicted: effect, class: HARM[edge.state] || "unknown", sentence: `${edge.edge}, ${effect ? `predicted that it ${effect}, ` : ""}${word}` };
  });
  const rank = (edge) => (order.includes(edge.state) && edge.state !== "ok" ? order.indexOf(edge.state) : edge.predicted ? 20 : 21);
  return found.sort((a, b) => rank(a) - rank(b) || (a.key < b.key ? -1 : 1));
}

function drawEdges() {
  const { report } = current.impact;
  byId("map-section").hidden = !report;
  if (!report) return;
  const edges = edgesOf(report);
  const matters = edges.filter((edge) => edge.predicted || ["bad", "some", "added"].includes(edge.class));
  const seen = all || !matters.length ? edges : matters;
  const toggle = byId("all");
  toggle.textContent = `Every edge (${count(edges.length)})`;
  toggle.setAttribute("aria-pressed", String(seen.length === edges.length));
  toggle.disabled = matters.length === edges.length || !matters.length;
  const outline = make("span", "predicted", { class: "key outline" });
  byId("legend").replaceChildren(outline, ...LEGEND.map(([name, text]) => make("span", text, { class: `key ${name}` })));
  drawRun(byId("run-map"), seen.slice(0, MOST_DRAWN), (edge) => choose(edge.key, false));
  if (seen.length > MOST_DRAWN) byId("run-map").append(make("p", `The first ${MOST_DRAWN} of ${count(seen.length)} edges; the table has all.`));
  byId("edges").replaceChildren(...seen.map(edgeRow));
  mark();
}

const ratio = (counts) => (counts.attempts ? `${count(counts.established)} of ${count(counts.attempts)}` : "–");

function edgeRow(edge) {
  const name = button(edge.key, () => choose(edge.key, false), { class: "link", "data-key": `row ${edge.key}` });
  const state = make("td", edge.state, { class: edge.class });
  if (edge.reason) state.append(make("small", edge.reason));
  const cells = [make("td", null, {}, [name]), make("td", edge.predicted || "–"), state];
  const rest = [ratio(edge.baseline), ratio(edge.fault), edge.recovery || "–"].map((text) => make("td", text));
  return make("tr", null, { "data-edge": edge.key }, [...cells, ...rest]);
}

/* An edge stands out on the map and in the table; `leads` moves the focus to its row. */
function choose(key, leads) {
  chosen = key;
  if (!byId("edges").querySelector(`[data-edge="${CSS.escape(key)}"]`)) {
    all = true;
    drawEdges();
  }
  mark();
  if (leads) document.querySelector(`[data-key="${CSS.escape(`row ${key}`)}"]`)?.focus();
}

function mark() {
  for (const row of byId("edges").children) row.setAttribute("aria-selected", String(row.dataset.edge === chosen));
  for (const one of byId("run-map").querySelectorAll("g.edge")) one.classList.toggle("chosen", one.dataset.key === `map ${chosen}`);
}

function stepsOf(run) {
  const tasks = new Map(run.experimentYaml.spec.tasks.map((task) => [task.name, task]));
  const probes = new Map((run.faultsWithProbes || []).map((one) => [one.faultName, one.probes]));
  return Object.values(run.executionData.nodes).filter((node) => node.type === "K8sTask").map((node) => {
    const start = Number(node.startedAt) * 1000 || 0;
    const fault = tasks.get(node.name)?.definition.chaos.experiment || "";
    return { node, name: node.name, fault, probes: probes.get(node.name) || [], class: PHASES[node.phase] || "bad", start, end: Number(node.finishedAt) * 1000 || Date.now() };
  });
}

function stepRow({ node, name, fault, probes, start, end }, run) {
  const title = make("td", name);
  title.append(make("small", fault));
  const phase = make("td", node.phase, { class: PHASES[node.phase] || "bad" });
  if (node.message) phase.append(make("small", node.message));
  const data = node.chaosData;
  const verdict = make("td", data.experimentVerdict || "–", { class: VERDICTS[data.experimentVerdict] || "bad" });
  const share = data.experimentVerdict && data.experimentVerdict !== "Awaited" && probes.length ? `${data.probeSuccessPercentage || 0} % passed` : probes.length ? "" : "none";
  const judged = make("td", share);
  judged.append(...probes.map((one) => make("small", `${one.Name}, ${one.Mode}`)));
  const times = make("td", start ? shortTime(new Date(start).toISOString()) : "–");
  if (start) times.append(make("small", node.finishedAt ? shortTime(new Date(end).toISOString()) : "runs"));
  const log = make("td");
  if (data.streamID) log.append(make("a", "Log", { href: hashOf({ run: run.experimentRunID, log: name }), "data-key": `log ${name}`, "aria-label": `Log of ${name}` }));
  return make("tr", null, {}, [title, phase, verdict, judged, times, log]);
}

const hashOf = (values) => `${location.pathname}${location.search}#${new URLSearchParams(values)}`;

/* Follows the log that the address names, once. */
function followAsked(steps, run) {
  const name = asked().get("log") || "";
  const step = steps.find((one) => one.name === name && one.node.chaosData.streamID);
  if (!step || following === step.node.chaosData.streamID) return;
  following = step.node.chaosData.streamID;
  showLog(`Log of ${name}`, { account: run.accountID, key: following });
  byId("log-title").focus();
}

function showLogin(text) {
  byId("login-error").textContent = text;
  byId("login").hidden = false;
  byId("report").hidden = true;
}

function showRun() {
  byId("login").hidden = true;
  byId("report").hidden = false;
  refresh();
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value.trim());
  showRun();
});
byId("all").addEventListener("click", () => {
  all = !all;
  drawEdges();
});
addEventListener("hashchange", () => (current && current.run.experimentRunID === asked().get("run") ? followAsked(stepsOf(current.run), current.run) : refresh()));
addEventListener("resize", perFrame(() => current && drawEdges()));
byId("back").href = `/experiments/${location.search}`;
if (takeKey()) showRun();
else showLogin("");
setInterval(() => byId("report").hidden || isOver() || refresh(), REFRESH_MS);
