/* The page: reads maps, keeps header, filters and views in step with the address bar. */

import { Coverage, percent } from "./coverage.js";
import { byId, button, count, counted, fillSelect, make } from "./dom.js";
import { applyFilters, isFiltered } from "./filters.js";
import { showFirstRun, stepsDone } from "./first_run.js";
import { Focus } from "./focus.js";
import { listAgents, readChanges, readExplanation, readHistory, readMap, readWindows, setKey, takeKey } from "./manager_api.js";
import { edgeId, makeModel } from "./map_model.js";
import { Matrix } from "./matrix.js";
import { Overview } from "./overview.js";
import { Search } from "./search.js";
import { SidePanel } from "./side_panel.js";
import { Table } from "./table.js";
import { TimeStrip } from "./time_strip.js";
import { linkOf, onlyHas, onState, state, toggleOnly, update } from "./url_state.js";
import { compareMaps } from "./window_diff.js";
import { forgetWindows, keepTotals, keepWindow } from "./window_history.js";
import { KINDS } from "./words.js";

const VIEWS = { overview: ["Overview", Overview], focus: ["Focus", Focus], matrix: ["Matrix", Matrix], table: ["Table", Table], coverage: ["Coverage", Coverage] };
const ONLY = [["failed", "Failed"], ["external", "External"], ["changed", "Changed"]];
const DATA = new Set(["agent", "window", "compare", "base", "since"]);
const AGAIN_MS = 10_000;

const views = {};
const maps = new Map();
let now = { agents: [], data: null, model: null, base: null, seen: null };
let asked = 0;

const actions = {
  select: (id) => update({ select: id }),
  focus: (id, mode = "both") => update({ view: "focus", focus: id, select: "", mode, more: "", at: "" }),
  filter: (values) => update({ ...values, at: "" }),
  history: (edge) => readHistory(state.agent, edge),
  explain: (source, destination) => readExplanation(state.agent, source, destination, now.data.window?.id),
  open: (id, label) => update({ view: "overview", group: label, open: id, select: id, namespace: "", area: "", at: "" }),
  group: (label, open = "auto") => update({ group: label, area: "", open, at: "" }),
};
const panel = new SidePanel(actions);
const search = new Search(actions);
const strip = new TimeStrip(actions);

async function mapOf(window) {
  const key = `${state.agent} ${window}`;
  if (!maps.has(key)) {
    const data = await readMap(state.agent, window);
    keepWindow(data);
    if (!window) return data;
    if (maps.size > 3) maps.delete(maps.keys().next().value);
    maps.set(key, data);
  }
  return maps.get(key);
}

function parts(...shown) {
  for (const id of ["search", "views", "cluster", "recall", "link", "filters", "main", "strip", "login", "first-run"]) byId(id).hidden = !shown.includes(id);
}

function askForKey(text) {
  parts("login");
  byId("login-error").textContent = text;
  byId("key").focus();
}

function failed(error) {
  if (error.status === 401) return askForKey("This key does not open the map.");
  if (!error.status) console.error(error);
  if (!now.model) return askForKey(error.message);
  byId("empty").textContent = error.status === 404 ? "This window is not there any more." : error.message;
  byId("empty").hidden = false;
  return undefined;
}

async function open() {
  try {
    now.agents = await listAgents();
    if (now.agents.length && !now.agents.includes(state.agent)) state.agent = now.agents[0];
    fillSelect(byId("agent"), now.agents.map((name) => [name, name]), state.agent);
    await load();
  } catch (error) {
    failed(error);
  }
}

async function load() {
  const turn = (asked += 1);
  const data = now.agents.length ? await mapOf(state.window) : null;
  const done = stepsDone(now.agents, data);
  if (done < 3) {
    parts("first-run", ...(now.agents.length > 1 ? ["cluster"] : []));
    showFirstRun(done);
    setTimeout(() => turn === asked && open(), AGAIN_MS);
    document.body.dataset.ready = "true";
    return;
  }
  const other = state.compare ? await mapOf(state.compare) : null;
  const base = state.base && data.windows.includes(state.base) && state.base !== data.window?.id ? await mapOf(state.base) : null;
  const fresh = state.since ? newEdges(await readChanges(state.agent, state.since).catch(unknownTime)) : null;
  if (turn !== asked) return;
  now = { ...now, data, fresh, changes: other && compareMaps(other, data), baseData: base };
  makeModels();
  parts("search", "views", "recall", "link", "filters", "main", ...(now.agents.length > 1 ? ["cluster"] : []));
  search.use(now.model);
  showHeader();
  strip.show(data.windows, data.window ? data.window.id : ""); // before the views: it takes its room from them
  show();
  document.body.dataset.ready = "true";
  readTotals(turn);
}

/* The models of what was read, grouped as the address bar says. */
function makeModels() {
  now.model = makeModel(now.data, now.changes, state.group);
  now.base = now.baseData && makeModel(now.baseData, null, state.group, now.model);
}

function newEdges(changes) {
  return new Map(changes.new.map((edge) => [edgeId(edge), edge.firstSeen]));
}

/* A time that the manager does not know: nothing is new since then. */
function unknownTime(error) {
  if (error.status !== 404 && error.status !== 400) throw error;
  return { new: [] };
}

/* Reads the totals of the newest windows for the strip: one small answer, at any size of the map. */
async function readTotals(turn) {
  try {
    keepTotals(await readWindows(state.agent));
  } catch (error) {
    if (error.status !== 404) console.error(error);
  }
  if (turn === asked) strip.show(now.data.windows, now.data.window?.id || "");
  document.body.dataset.totals = String(turn);
}

function showHeader() {
  const { recall } = now.data;
  byId("recall-value").textContent = recall.value === null ? "–" : percent(recall.value);
  byId("recall-text").textContent = recall.value === null ? "recall: nothing to compare" : `recall: ${count(recall.explained)} of ${count(recall.accepted)} accepted explained`;
  fillSelect(byId("namespace"), [["", "all"], ...[...now.model.spaces.keys()].map((name) => [name, name])], state.namespace);
  const areas = [...now.model.groups.values()].filter((group) => group.kind === "Label" || group.kind === "Ungrouped").sort((a, b) => (a.kind === b.kind ? (a.name < b.name ? -1 : 1) : a.kind === "Label" ? -1 : 1));
  fillSelect(byId("area"), [["", "all"], ...areas.map((group) => [group.id, group.name])], state.area);
  byId("area").parentElement.hidden = !state.group;
  byId("area").previousSibling.textContent = `${state.group} `;
  fillSelect(byId("kind"), [["", "all"], ...KINDS.map((name) => [name, name])], state.kind);
}

function showFilters() {
  byId("namespace").value = state.namespace;
  byId("kind").value = state.kind;
  byId("area").value = state.area;
  if (document.activeElement !== byId("port")) byId("port").value = state.port;
  byId("since").value = [...byId("since").options].some((one) => one.value === state.since) ? state.since : "";
  const focused = document.activeElement?.dataset?.only;
  byId("only").replaceChildren(...ONLY.filter(([id]) => id !== "changed" || state.compare).map(([id, text]) => button(text, () => actions.filter({ only: toggleOnly(id) }), { "aria-pressed": String(onlyHas(id)), "data-only": id })));
  if (focused) byId("only").querySelector(`[data-only="${focused}"]`)?.focus();
  byId("unfilter").hidden = !isFiltered(state);
  byId("shown").textContent = isFiltered(state)
    ? `${count(now.seen.edges.length)} of ${counted(now.model.edges.length, "edge")}, ${count(now.seen.places.length)} of ${counted(now.model.places.size, "service or address", "services and addresses")}`
    : `${counted(now.model.places.size, "service or address", "services and addresses")}, ${counted(now.model.edges.length, "edge")}`;
}

function showLegend() {
  const isMatrix = state.view === "matrix";
  const line = (name, text) => make("li", null, {}, [isMatrix ? make("i", null, { class: `cell ${name}` }) : make("b", null, { class: name }), text]);
  const kinds = KINDS.map((kind) => make("li", null, {}, [make("i", null, { class: kind }), kind]));
  const lines = state.compare
    ? [line("added", "added"), line("removed", "removed"), line("changed", "changed"), line("before", "as before")]
    : [line("ok", isMatrix ? "established, darker is more" : "established, wider is more"), line("some", "some failed"), line("bad", "only failed")];
  const page = state.view === "table" || state.view === "coverage";
  byId("legend").hidden = page;
  byId("legend").replaceChildren(...(isMatrix ? [] : kinds), ...lines, ...(isMatrix ? [line("blind", "not observed")] : []));
}

function show() {
  now.seen = applyFilters(now.model, state, now.fresh);
  const view = VIEWS[state.view] ? state.view : "overview";
  byId("views").replaceChildren(...Object.entries(VIEWS).map(([id, [text]]) => button(text, () => update({ view: id, at: "" }), { "aria-current": id === view ? "page" : null, "data-view": id })));
  for (const id of Object.keys(VIEWS)) byId(`view-${id}`).hidden = id !== view;
  document.body.dataset.view = view;
  showFilters();
  showLegend();
  byId("empty").textContent = "Nothing passes these filters.";
  byId("empty").hidden = now.seen.places.length > 0;
  views[view] ||= new VIEWS[view][1](byId(`view-${view}`), actions);
  views[view].show(now.model, now.base, now.seen);
  showPanel();
}

function showPanel() {
  const wide = !matchMedia("(max-width: 760px)").matches;
  panel.show(now.model, state.select || (wide && state.view === "focus" ? state.focus : ""));
}

/* What a change of the address bar asks for: other data, another drawing, or only another choice. */
onState((names) => {
  if (!now.model) return;
  pin();
  if (names.some((name) => DATA.has(name) && name !== "base")) {
    if (names.includes("agent")) forgetWindows();
    load().catch(failed);
  } else if (now.model.label !== state.group) {
    makeModels();
    search.use(now.model);
    showHeader();
    show();
  } else if (names.length === 1 && names[0] === "select" && views[state.view].mark) {
    views[state.view].mark();
    showPanel();
  } else {
    const focused = document.activeElement?.dataset?.view;
    show();
    if (focused) byId("views").querySelector(`[data-view="${focused}"]`)?.focus();
  }
});

/* From the first action on the link names cluster, window and arrangement, so that it shows the same tomorrow. */
function pin() {
  const window = now.data.window ? now.data.window.id : "";
  update({ agent: state.agent, window: state.window || window, base: state.base || window }, true);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value.trim());
  open();
});
byId("agent").addEventListener("change", () => update({ agent: byId("agent").value, window: "", base: "", compare: "", select: "", focus: "", group: "", area: "", open: "auto", at: "" }));
for (const id of ["namespace", "kind", "area"]) byId(id).addEventListener("change", () => actions.filter({ [id]: byId(id).value }));
byId("port").addEventListener("change", () => actions.filter({ port: byId("port").value.trim().replace(/^:/, "") }));
byId("since").addEventListener("change", () => actions.filter({ since: byId("since").value }));
byId("unfilter").addEventListener("click", () => actions.filter({ namespace: "", area: "", kind: "", port: "", only: "", since: "" }));
byId("recall").addEventListener("click", () => update({ view: "coverage" }));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  if (now.model) update({ view: "table", at: "" });
  byId("view-table").querySelector("button")?.focus();
});
byId("link").addEventListener("click", async () => {
  pin();
  await navigator.clipboard?.writeText(new URL(linkOf(state), location.href).href);
  byId("link").textContent = "Copied";
  setTimeout(() => { byId("link").textContent = "Copy link"; }, 1500);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.select && document.activeElement !== byId("find")) actions.select("");
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => now.model && show());

if (takeKey()) open();
else askForKey("");
