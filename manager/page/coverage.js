/* Coverage: what of the window was observed, and for all that was not: how much, why, and what to do. */

import { count, counted, make } from "./dom.js";
import { reasonText, whatToDo } from "./words.js";

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
  const head = make("tr", null, {}, ["Node", "Observed", "Recall", "Why", "What to do"].map((text) => make("th", text, { scope: "col" })));
  const rows = [...nodes].sort((a, b) => order[a[1].observed] - order[b[1].observed]).map(([name, one]) => {
    const part = one.start ? `${one.start.slice(11, 19)} to ${one.end.slice(11, 19)} UTC` : "in part";
    const recall = data.recall.nodes?.[name];
    const whole = one.observed === "whole";
    return make("tr", null, { "data-node": name, class: whole ? "" : "bad" }, [
      make("td", name), make("td", whole ? "whole window" : one.observed === "part" ? part : "not observed"),
      make("td", recall && recall.value !== null ? percent(recall.value) : "–"), make("td", whole ? "" : reasonText(one.reason)), make("td", whole ? "" : whatToDo(one.reason)),
    ]);
  });
  section.append(make("table", null, {}, [make("thead", null, {}, [head]), make("tbody", null, {}, rows)]));
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

  show(model) {
    const { data } = model;
    const recall = data.recall.value === null ? "Nothing could be compared in this window." : `${count(data.recall.explained)} of ${count(data.recall.accepted)} accepted connections that can be compared are explained by a client's record.`;
    this.host.replaceChildren(
      tiles(data), nodesSection(data),
      reasonTable("Unresolved far ends", "Drawn as an address, since its owner is not certain. Podsonar never guesses.", unresolvedEdges(model), "Attempts"),
      reasonTable("Unresolved, and left out", "The source is not certain, so no edge is drawn.", total(data, "unresolved"), "Attempts"),
      reasonTable("Lost", "Seen by the kernel, and not recorded for lack of room.", total(data, "lost"), "Attempts"),
      reasonTable("Filtered on purpose", "Left out by a named rule.", total(data, "filtered"), "Attempts"),
      reasonTable("Accepted, and not comparable", recall, Object.entries(data.recall.notComparable).sort((a, b) => b[1] - a[1]), "Connections"),
    );
  }
}
