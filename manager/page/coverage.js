/* Coverage: what of the window was observed, and for all that was not: how much, why, and what to do. */

import { count, counted, make } from "./dom.js";
import { readAgent } from "./manager_api.js";
import { state } from "./url_state.js";
import { kindReasonText, reasonText, whatToDoForKind, whatToDo } from "./words.js";

function total(data, name) {
  const found = new Map();
  for (const one of Object.values(data.observation)) {
    for (const [why, number] of Object.entries(one[name] || {})) if (number) found.set(why, (found.get(why) || 0) + number);
  }
  return [...found].sort((a, b) => b[1] - a[1]);
}

function reasonTable(title, text, entries, unit) {
  const section = make("section", null, { class: "card" }, [make("h2", title), make("p", text)]);
  if (!entries.length) {
    section.append(make("p", "None in this window.", { class: "none" }));
    return section;
  }
  const head = make("tr", null, {}, [make("th", "Why", { scope: "col" }), make("th", unit, { scope: "col", class: "number" }), make("th", "What to do", { scope: "col" })]);
  const rows = entries.map(([why, number]) => make("tr", null, { "data-reason": why }, [
    make("td", null, {}, [make("span", reasonText(why)), make("code", why)]), make("td", count(number), { class: "number" }), make("td", whatToDo(why)),
  ]));
  section.append(make("table", null, {}, [make("thead", null, {}, [head]), make("tbody", null, {}, rows)]));
  return section;
}

function nodesSection(data) {
  const nodes = Object.entries(data.coverage || {});
  const missing = nodes.filter(([, one]) => one.observed !== "whole");
  const section = make("section", null, { class: "card" }, [
    make("h2", "Nodes"),
    make("p", missing.length ? `${nodes.length - missing.length} of ${counted(nodes.length, "node")} observed for the whole window. For the others, no edge proves nothing.` : nodes.length
      ? `All ${counted(nodes.length, "node")} observed for the whole window.` : "No node is known yet."),
  ]);
  if (!nodes.length) return section;
  const order = { none: 0, part: 1, whole: 2 };
  const head = make("tr", null, {}, ["Node", "Observed", "Recall", "Kernel's own count", "Why", "What to do"].map((text) => make("th", text, { scope: "col" })));
  const rows = [...nodes].sort((a, b) => order[a[1].observed] - order[b[1].observed]).map(([name, one]) => {
    const part = one.start ? `${one.start.slice(11, 19)} to ${one.end.slice(11, 19)} UTC` : "in part";
    const recall = data.recall.nodes?.[name];
    const whole = one.observed === "whole";
    return make("tr", null, { "data-node": name, class: whole ? "" : "bad" }, [
      make("td", name), make("td", whole ? "whole window" : one.observed === "part" ? part : "not observed"),
      make("td", recall && recall.value !== null ? percent(recall.value) : "–"), make("td", kernelText(one)), make("td", whole ? "" : reasonText(one.reason)), make("td", whole ? "" : whatToDo(one.reason)),
    ]);
  });
  section.append(make("table", null, {}, [make("thead", null, {}, [head]), make("tbody", null, {}, rows)]));
  return section;
}

/* The third witness: what the kernel counted itself, beside both ends. */
function kernelText({ kernel, nothingMissed }) {
  if (!kernel || kernel.state === "none") return "not read";
  if (kernel.state === "differs") return `${count(kernel.unseen)} more than seen`;
  if (nothingMissed) return "agrees: nothing was missed";
  return kernel.state === "part" ? `agrees, ${count(kernel.notComparable)} namespaces not comparable` : "agrees";
}

/* Pods with more flows than their share: known in sums by range of ports only. */
function scanSection(data) {
  const sums = Object.entries(data.observation).flatMap(([node, one]) => (one.scan || []).map((sum) => ({ node, ...sum })));
  if (!sums.length) return [];
  const size = (sum) => (sum.end === "source" ? sum.attempts : sum.accepted) || 0;
  const head = make("tr", null, {}, ["Pod", "Node", "End", "Ports"].map((text) => make("th", text, { scope: "col" })));
  head.append(make("th", "Connects", { scope: "col", class: "number" }));
  const rows = sums.sort((a, b) => size(b) - size(a)).map((sum) => make("tr", null, { "data-scan": sum.pod.uid, class: "bad" }, [
    make("td", [sum.pod.namespace, sum.pod.name || sum.pod.uid].filter(Boolean).join("/")), make("td", sum.node),
    make("td", sum.end === "source" ? "connected to" : "accepted at"), make("td", sum.ports), make("td", count(size(sum)), { class: "number" }),
  ]));
  return [make("section", null, { class: "card" }, [
    make("h2", "Pods with more flows than their share"),
    make("p", "Their first flows are on the map, the others are counted here by range of ports. For these pods, no edge proves nothing."),
    make("table", null, {}, [make("thead", null, {}, [head]), make("tbody", null, {}, rows)]),
  ])];
}

/* Counts of connections that were open before the window, of both ends, by a member of theirs. */
function openedTotal(data, name) {
  const found = new Map();
  for (const one of Object.values(data.observation)) {
    for (const counts of [one.openedBefore?.[name], name === "leftOut" ? one.accepted?.openedBefore?.leftOut : null]) {
      for (const [why, number] of Object.entries(counts || {})) if (number) found.set(why, (found.get(why) || 0) + number);
    }
  }
  return [...found].sort((a, b) => b[1] - a[1]);
}

/* Kinds that the newest inventory does not have whole: every answer that needs one of them is uncertain. */
function inventorySection(inventory) {
  const kinds = Object.entries(inventory?.incompleteKinds || {}).sort();
  const section = make("section", null, { class: "card", "data-section": "inventory" }, [make("h2", "Newest inventory")]);
  if (!inventory) section.append(make("p", "None has arrived yet.", { class: "none" }));
  else if (!kinds.length) section.append(make("p", `${inventory.window}: ${inventory.state === "complete" ? "every kind is whole." : "some of its parts have not arrived."}`, { class: "none" }));
  if (!kinds.length) return section;
  const head = make("tr", null, {}, ["Kind", "Why it is not whole", "What to do"].map((text) => make("th", text, { scope: "col" })));
  const rows = kinds.map(([kind, why]) => make("tr", null, { "data-kind": kind, class: "bad" }, [
    make("td", kind), make("td", null, {}, [make("span", kindReasonText(why)), make("code", why)]), make("td", whatToDoForKind(why)),
  ]));
  section.append(make("p", `${inventory.window}: far ends that may be of these kinds stay unresolved.`), make("table", null, {}, [make("thead", null, {}, [head]), make("tbody", null, {}, rows)]));
  return section;
}

export function percent(share) {
  return `${Math.floor(share * 1000) / 10} %`;
}

function tiles(data) {
  const sum = (entries) => entries.reduce((all, [, number]) => all + number, 0);
  const attempts = Object.values(data.observation).reduce((all, one) => all + (one.attempts || 0), 0);
  const nodes = Object.values(data.coverage || {});
  const whole = nodes.filter((one) => one.observed === "whole").length;
  const lost = sum(total(data, "lost"));
  const all = [
    ["Nodes observed", `${whole} of ${nodes.length}`, whole < nodes.length], ["Connect attempts", count(attempts)],
    ["Recall", data.recall.value === null ? "–" : percent(data.recall.value)], ["Lost", count(lost), lost > 0],
    ["Unresolved", count(sum(total(data, "unresolved")))], ["Filtered on purpose", count(sum(total(data, "filtered")))],
  ];
  return make("div", null, { class: "tiles" }, all.map(([name, value, bad]) => make("p", null, { class: bad ? "tile bad" : "tile" }, [make("strong", value), make("span", name)])));
}

function unresolvedEdges(model) {
  const found = new Map();
  for (const edge of model.edges) for (const why of edge.reasons || []) found.set(why, (found.get(why) || 0) + edge.attempts);
  return [...found].sort((a, b) => b[1] - a[1]);
}

export class Coverage {
  constructor(host) {
    this.host = host;
  }

  /* The inventory comes from another answer; it is added when it is there. */
  async addInventory(host) {
    try {
      const { inventory } = await readAgent(state.agent);
      host.querySelector("[data-section=inventory]").replaceWith(inventorySection(inventory));
    } catch (error) {
      if (!error.status) throw error;
    }
  }

  show(model) {
    const { data } = model;
    const recall = data.recall.value === null ? "Nothing could be compared in this window." : `${count(data.recall.explained)} of ${count(data.recall.accepted)} accepted connections that can be compared are explained by a client's record.`;
    this.host.replaceChildren(
      tiles(data), nodesSection(data), make("section", null, { "data-section": "inventory" }),
      reasonTable("Unresolved far ends", "Drawn as an address, since its owner is not certain. Podsonar never guesses.", unresolvedEdges(model), "Attempts"),
      reasonTable("Unresolved, and left out", "The source is not certain, so no edge is drawn.", total(data, "unresolved"), "Attempts"),
      reasonTable("Lost", "Seen by the kernel, and not recorded for lack of room.", total(data, "lost"), "Attempts"),
      reasonTable("Filtered on purpose", "Left out by a named rule.", total(data, "filtered"), "Attempts"),
      ...scanSection(data),
      reasonTable("Known less well", "Nothing is lost, but something had no room or came too early.", total(data, "incomplete"), "Times"),
      reasonTable("Open before the window, and left out", "Connections whose owner is not certain.", openedTotal(data, "leftOut"), "Connections"),
      reasonTable("Open before the window, and not read", "Pods and processes whose open connections could not be read.", openedTotal(data, "notRead"), "Pods or processes"),
      reasonTable("Accepted, and not comparable", recall, Object.entries(data.recall.notComparable).sort((a, b) => b[1] - a[1]), "Connections"),
    );
    this.addInventory(this.host);
  }
}
