/* The first minutes: from nothing to the first window, one step after the other, each with its command. */

import { byId, make } from "./dom.js";

const STEPS = [
  ["A token for the cluster's agents", "podsonar manager token create --agent my-cluster > token", "On the machine of the manager. The name is what the map calls the cluster."],
  ["Podsonar in the cluster", "helm install podsonar deploy/charts/podsonar --namespace podsonar --set manager.url=… --set manager.tokenSecret=…", "A collector and one node agent per node. On each node, podsonar agent preflight tells what is missing."],
  ["The first inventory", "kubectl -n podsonar logs deploy/podsonar-collector", "The collector lists the cluster at the start of a window. Its services then appear here, without edges."],
  ["The first window", "kubectl -n podsonar logs daemonset/podsonar-node-agent", "Agents observe for some minutes and send what they saw at the window's end: cron.expression says when, collectionWindowInMin how long."],
];

/* How many of the steps are done. */
export function stepsDone(agents, data) {
  if (!agents.length) return 0;
  if (!data || (!data.services.length && !data.windows.length)) return 1;
  return data.windows.length && data.edges.length ? 4 : data.services.length ? 3 : 2;
}

export function showFirstRun(done) {
  const steps = STEPS.map(([title, command, text], at) => {
    const stateOf = at < done ? "done" : at === done ? "now" : "later";
    const item = make("li", null, { class: stateOf, ...(at === done ? { "aria-current": "step" } : {}) });
    item.append(make("h3", title), make("p", text), make("code", command));
    return item;
  });
  byId("first-run").replaceChildren(
    make("h2", "From nothing to the first window"), make("p", "This page looks again every ten seconds and shows the map as soon as there is one."), make("ol", null, {}, steps),
  );
}
