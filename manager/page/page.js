/* The page: key, pickers, panel and table. Every text from the cluster is set with textContent. */
"use strict";

const byId = (id) => document.getElementById(id);
const page = { key: "", data: null, graph: null, agent: "" };
const COUNT = new Intl.NumberFormat("en");
const ERRNO = { 101: "network unreachable", 104: "reset", 110: "timed out", 111: "refused", 113: "no route to host" };
const REASONS = {
  remote_is_a_node: "from a node itself (probes, host programs)",
  remote_outside_cluster: "from outside the cluster",
  remote_pod_not_observed: "from pods that are not observed",
  own_traffic: "from Podsonar's own agents",
  node_without_agent: "from nodes without an agent",
  node_observed_in_part: "from nodes that were watched in part",
  loopback: "within one pod",
};

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = String(text);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function takeKey() {
  const match = /^#key=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (match) {
    sessionStorage.setItem("podsonar-key", match[1]);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("podsonar-key") || "";
}

async function get(path) {
  const answer = await fetch(`/api/v1${path}`, { headers: { "X-API-Key": page.key }, cache: "no-store" });
  if (!answer.ok) throw Object.assign(new Error(`the manager answered ${answer.status}`), { status: answer.status });
  return answer.json();
}

function askForKey(text) {
  for (const id of ["controls", "main", "list", "recall"]) byId(id).hidden = true;
  byId("login").hidden = false;
  byId("login-error").textContent = text;
  byId("key").focus();
}

function fill(select, values, chosen) {
  select.replaceChildren(...values.map(([value, text]) => make("option", text, { value })));
  select.value = chosen;
}

async function open() {
  if (!page.key) return askForKey("");
  try {
    const agents = await get("/agents?all=true");
    byId("login").hidden = true;
    byId("controls").hidden = false;
    byId("main").hidden = false;
    byId("list").hidden = false;
    const names = agents.items.map((one) => [one.identity, one.name]);
    if (!names.length) return showEmpty("No cluster has an agent yet: podsonar manager token create --agent NAME");
    fill(byId("agent"), names, names[0][0]);
    return load("latest", "");
  } catch (error) {
    return askForKey(error.status === 401 ? "This key does not open the map." : error.message);
  }
}

async function load(windowId, namespace) {
  const agent = encodeURIComponent(byId("agent").value);
  const query = new URLSearchParams({ window: windowId, namespace });
  const all = namespace ? get(`/agents/${agent}/map?window=${encodeURIComponent(windowId)}`) : null;
  page.data = await get(`/agents/${agent}/map?${query}`);
  const every = (all ? (await all).services : page.data.services).map((one) => one.namespace);
  const namespaces = [...new Set(every)].filter(Boolean).sort();
  fill(byId("namespace"), [["", "all"], ...namespaces.map((name) => [name, name])], namespace);
  const shown = (id) => id.replace("T", " ").replace("Z", " UTC");
  fill(byId("window"), page.data.windows.map((id) => [id, shown(id)]), page.data.window ? page.data.window.id : "");
  show();
}

function showEmpty(text) {
  byId("empty").textContent = text;
  byId("empty").hidden = !text;
}

function show() {
  const { data } = page;
  page.names = new Map(data.services.map((one) => [one.id, one]));
  showEmpty(data.services.length ? "" : "Nothing has been pushed yet.");
  showTables();
  showRecall();
  if (page.graph) page.graph.destroy();
  page.graph = drawMap(byId("map"), data, select);
  select(null);
  document.body.dataset.ready = "true";
}

function title(id) {
  const one = page.names.get(id);
  return one && one.namespace ? `${one.namespace}/${one.name}` : one ? one.name : id;
}

function showRecall() {
  const { recall } = page.data;
  byId("recall").hidden = false;
  byId("recall-value").textContent = recall.value === null ? "–" : `${(Math.floor(recall.value * 1000) / 10).toString()} %`;
  byId("recall-text").textContent = recall.value === null
    ? "recall: nothing to compare"
    : `recall: ${COUNT.format(recall.explained)} of ${COUNT.format(recall.accepted)} accepted explained`;
}

function showTables() {
  const yes = (value) => (value === null ? "not comparable" : value ? "seen" : "client only");
  const rows = page.data.edges.map((one) => {
    const row = make("tr", null, { "data-source": one.source, "data-destination": one.destination, "data-port": one.port });
    row.append(make("td", title(one.source)), make("td", title(one.destination)), make("td", one.port));
    for (const value of [one.attempts, one.established, one.failed]) row.append(make("td", COUNT.format(value), { class: "number" }));
    row.append(make("td", yes(one.bothEnds)));
    return row;
  });
  byId("edges").tBodies[0].replaceChildren(...rows);
  const services = page.data.services.map((one) => {
    const row = make("tr", null, { "data-id": one.id, "data-kind": one.kind });
    row.append(make("td", one.name), make("td", one.namespace), make("td", one.kind));
    row.append(make("td", one.pods, { class: "number" }), make("td", one.workloads.map((w) => `${w.kind} ${w.name}`).join(", ")));
    return row;
  });
  byId("services").tBodies[0].replaceChildren(...services);
  byId("list-title").textContent = `As a table: ${services.length} services and addresses, ${rows.length} connections`;
}

function figures(pairs) {
  const list = make("dl");
  for (const [name, value, kind] of pairs) list.append(make("dt", name), make("dd", value, kind ? { class: kind } : {}));
  return list;
}

function rows(heading, pairs) {
  if (!pairs.length) return [];
  const list = make("ul");
  for (const [name, value, go] of pairs) {
    const item = make("li");
    const label = go ? make("button", name, { class: "link", type: "button" }) : make("span", name);
    if (go) label.addEventListener("click", go);
    item.append(label, make("span", value));
    list.append(item);
  }
  return [make("h3", heading), list];
}

function edgeDetail(edge) {
  const errno = edge.lastErrno ? `${ERRNO[edge.lastErrno] || "errno"} (${edge.lastErrno})` : null;
  const ends = edge.bothEnds === null ? "far end not observable" : edge.bothEnds ? "seen from both ends" : "seen by the client only";
  return [
    make("h2", `${title(edge.source)} → ${title(edge.destination)}`),
    make("p", `${edge.type} port ${edge.port}, ${ends}`),
    figures([
      ["Attempts", COUNT.format(edge.attempts)],
      ["Established", COUNT.format(edge.established)],
      ["Failed", COUNT.format(edge.failed), edge.failed ? state(edge) : ""],
      ...(errno ? [["Last error", errno, state(edge)]] : []),
      ["Accepted by the far end", edge.accepted === null ? "–" : COUNT.format(edge.accepted)],
      ...(edge.openedBefore ? [["Open before the window", "yes"]] : []),
    ]),
    ...rows("Backends that accepted", edge.backends.map((one) => [one.pod, COUNT.format(one.accepted)])),
    ...rows("Source pods", edge.sourcePods.map((name) => [name, ""])),
    ...rows("Why it is not attributed", (edge.reasons || []).map((name) => [name, ""])),
  ];
}

function serviceDetail(id) {
  const one = page.names.get(id);
  const link = (edge, far) => [`${title(far)} :${edge.port}`, COUNT.format(edge.attempts), () => select({ edge })];
  const plural = one.pods === 1 ? "pod" : "pods";
  const known = one.kind === "Service" || one.kind === "Workload";
  return [
    make("h2", title(id)),
    make("p", known ? `${one.kind}, ${one.pods} ${plural}` : one.kind),
    ...rows("Workloads", one.workloads.map((w) => [w.name, w.kind])),
    ...rows("Connects to (attempts)", page.data.edges.filter((e) => e.source === id).map((e) => link(e, e.destination))),
    ...rows("Connected from (attempts)", page.data.edges.filter((e) => e.destination === id).map((e) => link(e, e.source))),
  ];
}

function unwatchedReason(one) {
  const why = (one.reason || "unknown").replaceAll("_", " ");
  if (one.observed === "none") return why;
  return one.start ? `${one.start.slice(11, 19)}–${one.end.slice(11, 19)} UTC only (${why})` : `in part (${why})`;
}

function overview() {
  const { data } = page;
  const counts = Object.entries(data.observation);
  const nodes = Object.entries(data.coverage || {});
  const unwatched = nodes.filter(([, one]) => one.observed !== "whole");
  const watchedNodes = nodes.length - unwatched.length;
  const total = (name) => counts.reduce((sum, [, one]) => sum + (one[name] || 0), 0);
  const reasons = (name) => {
    const found = new Map();
    for (const [, one] of counts) for (const [why, n] of Object.entries(one[name] || {})) found.set(why, (found.get(why) || 0) + n);
    return [...found].filter(([, n]) => n > 0).map(([why, n]) => [why.replaceAll("_", " "), COUNT.format(n)]);
  };
  const sum = (name) => Object.values(counts.map(([, one]) => Object.values(one[name] || {})).flat()).reduce((a, b) => a + b, 0);
  const uncompared = Object.entries(data.recall.notComparable).map(([why, n]) => [REASONS[why] || why, COUNT.format(n)]);
  return [
    make("h2", "This window"),
    make("p", data.window ? `${data.window.start.slice(0, 19).replace("T", " ")} to ${data.window.end.slice(11, 19)} UTC` : "no window yet"),
    figures([
      ["Nodes observed", unwatched.length ? `${watchedNodes} of ${nodes.length}` : watchedNodes, unwatched.length ? "bad" : ""],
      ["Connect attempts", COUNT.format(total("attempts"))],
      ["Delivered", COUNT.format(total("delivered"))],
      ["Filtered on purpose", COUNT.format(sum("filtered"))],
      ["Unresolved", COUNT.format(sum("unresolved"))],
      ["Lost", COUNT.format(sum("lost")), sum("lost") ? "bad" : ""],
    ]),
    ...rows("Not observed: there, no line proves nothing", unwatched.map(([name, one]) => [name, unwatchedReason(one)])),
    ...rows("Lost", reasons("lost")),
    ...rows("Filtered", reasons("filtered")),
    ...rows("Unresolved", reasons("unresolved")),
    ...rows("Accepted, but not comparable", uncompared),
    make("p", "Select a service or a line to see more.", { class: "hint" }),
  ];
}

function select(what) {
  const { graph, data } = page;
  byId("close").hidden = !what;
  byId("panel").scrollTop = 0;
  graph.elements().unselect();
  if (!what) {
    showOnly(graph, null);
    byId("detail").replaceChildren(...overview());
  } else if (what.edge) {
    const edge = graph.getElementById(`edge/${data.edges.indexOf(what.edge)}`);
    edge.select();
    showOnly(graph, edge.union(edge.connectedNodes()));
    byId("detail").replaceChildren(...edgeDetail(what.edge));
  } else {
    const node = graph.getElementById(what.service);
    node.select();
    showOnly(graph, node.closedNeighborhood());
    byId("detail").replaceChildren(...serviceDetail(what.service));
  }
}

function find(text) {
  const wanted = text.trim().toLowerCase();
  const found = page.graph.nodes().filter((node) => !node.hasClass("group") && node.id().toLowerCase().includes(wanted));
  showOnly(page.graph, wanted ? found.closedNeighborhood() : null);
}

function failed(error) {
  if (error.status === 401) askForKey("This key does not open the map any more.");
  else showEmpty(error.message);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  page.key = byId("key").value.trim();
  sessionStorage.setItem("podsonar-key", page.key);
  open();
});
byId("agent").addEventListener("change", () => load("latest", "").catch(failed));
byId("window").addEventListener("change", () => load(byId("window").value, byId("namespace").value).catch(failed));
byId("namespace").addEventListener("change", () => load(byId("window").value, byId("namespace").value).catch(failed));
byId("find").addEventListener("input", () => find(byId("find").value));
byId("close").addEventListener("click", () => select(null));
addEventListener("keydown", (event) => { if (event.key === "Escape" && page.graph) select(null); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (page.graph) page.graph.style(styleOf(page.data.services.length > LARGE)); });

page.key = takeKey();
open();
