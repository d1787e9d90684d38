/* The side panel: what is known of the chosen service, group, edge or pair; without one, of the window. */

import { makeAbsence } from "./absence.js";
import { button, byId, bytes, count, counted, make } from "./dom.js";
import { stateOf, sumOf } from "./map_model.js";
import { figures, rows } from "./panel_parts.js";
import { explainParts, historyParts } from "./edge_details.js";
import { bothEndsText, errnoText, reasonText, whatToDo, windowText } from "./words.js";

const KINDS_OF_GROUPS = { Namespace: "Namespace", Label: "Services with that label", Ungrouped: "Services without that label" };
const CHANGES = { added: "added", removed: "removed", changed: "changed" };

/* What the connections of an edge carried in the window, as its client end counts. */
function volumeFigures({ volume }) {
  if (!volume) return [];
  const rtt = volume.rttSeconds;
  return [
    ["Sent by the caller", bytes(volume.sentBytes)], ["Received by the caller", bytes(volume.receivedBytes)],
    ...(rtt.count ? [["Round trip, mean", milliseconds(rtt.sum / rtt.count)], ["Round trip, longest", milliseconds(rtt.max)]] : []),
    ["Segments sent again", count(volume.retransmittedSegments)], ["Ended by a reset", count(volume.resets)],
  ];
}

export class SidePanel {
  constructor(actions) {
    this.actions = actions;
    byId("close").addEventListener("click", () => actions.select(""));
  }

  show(model, chosen) {
    this.model = model;
    const edge = model.byId.get(chosen);
    const one = model.places.get(chosen);
    const group = model.groups.get(chosen);
    const pair = chosen.startsWith("pair:") ? this.pairOf(chosen) : null;
    const parts = edge ? this.edge(edge) : one ? this.place(one) : group ? this.group(group) : pair ? this.pair(pair) : this.window();
    byId("close").hidden = !(edge || one || group || pair);
    byId("detail").replaceChildren(...parts);
    byId("panel").scrollTop = 0;
    byId("panel").classList.toggle("chosen", !byId("close").hidden);
  }

  pairOf(id) {
    const [from, to] = id.slice(5).split(">");
    const inside = (place, end) => place.id === end || place.group === end;
    const edges = this.model.edges.filter((edge) => inside(edge.from, from) && inside(edge.to, to));
    const ends = [this.model.places.get(from), this.model.places.get(to)];
    if (!edges.length) return ends.every(Boolean) ? { edges, ends, title: `${ends[0].title} → ${ends[1].title}` } : null;
    const name = (end) => this.model.places.get(end)?.title || this.model.groups.get(end)?.name || end;
    return { edges, title: `${name(from)} → ${name(to)}` };
  }

  edgeRow(edge, name) {
    const failed = edge.failed ? `${count(edge.failed)} of ${count(edge.attempts)}` : count(edge.attempts);
    return { name, value: edge.change ? `${failed}, ${CHANGES[edge.change]}` : failed, kind: edge.failed ? stateOf(edge) : "", go: () => this.actions.select(edge.id) };
  }

  /* A pair without an edge: what that means. */
  noEdge([from, to], title) {
    const reasons = makeAbsence(this.model.data).reasons(from, to);
    return [
      make("h2", title), make("p", reasons.length ? "Not observed." : "Not seen, and would have been.", { class: "verdict" }),
      ...rows("Why nothing is proven", reasons.map((text) => ({ name: text, value: "" }))),
      this.ways([["Focus on the caller", from], ["Focus on the far end", to]]),
      this.explanation(from.id, to.id),
    ];
  }

  pair({ edges, title, ends }) {
    if (!edges.length) return this.noEdge(ends, title);
    const total = sumOf(edges);
    if (edges.length === 1) return this.edge(edges[0]);
    const sorted = [...edges].sort((a, b) => b.failed - a.failed || b.attempts - a.attempts);
    return [
      make("h2", title), make("p", `${counted(edges.length, "edge")} between their services`),
      figures([["Attempts", count(total.attempts)], ["Established", count(total.established)], ["Failed", count(total.failed), total.failed ? stateOf(total) : ""]]),
      ...rows("Edges (attempts, or failed of attempts)", sorted.map((edge) => this.edgeRow(edge, `${edge.from.title} → ${edge.to.title} :${edge.port}`))),
    ];
  }

  edge(edge) {
    const handshakes = edge.handshakeSeconds && edge.established
      ? [["Handshake, mean", milliseconds(edge.handshakeSeconds.sum / edge.established)], ["Handshake, longest", milliseconds(edge.handshakeSeconds.max)]] : [];
    return [
      make("h2", `${edge.from.title} → ${edge.to.title}`),
      make("p", `${edge.type} port ${edge.port}, ${edge.change === "removed" ? "not in this window, only in the one compared with" : bothEndsText(edge.bothEnds)}`),
      this.ways([["Focus on the caller", edge.from], ["Focus on the far end", edge.to]]),
      figures([
        ...(edge.change ? [["Since the compared window", CHANGES[edge.change], edge.change]] : []),
        ["Attempts", count(edge.attempts)], ["Established", count(edge.established)],
        ["Failed", count(edge.failed), edge.failed ? edge.state : ""],
        ...(edge.lastErrno ? [["Last error", errnoText(edge.lastErrno), edge.state]] : []),
        ["Accepted by the far end", edge.accepted === null ? "–" : count(edge.accepted)],
        ...(edge.inSums ? [["Far end known in sums only", "masqueraded"]] : []),
        ...(edge.openedBefore ? [["Open before the window", "yes"]] : []),
        ...handshakes, ...volumeFigures(edge),
      ]),
      this.later(this.actions.history(edge), historyParts, "history"),
      this.explanation(edge.source, edge.destination),
      ...rows("Backends that accepted", edge.backends.map((one) => ({ name: one.pod, value: count(one.accepted) }))),
      ...rows("Source pods", edge.sourcePods.map((name) => ({ name, value: "" }))),
      ...this.reasons(edge.reasons || []),
    ];
  }

  /* A part of the panel that is there once the manager has answered; what it cannot answer now leaves a sentence. */
  later(answer, partsOf, name) {
    const host = make("div", null, { class: "later", "data-part": name });
    answer.then((found) => host.replaceChildren(...partsOf(found)), (error) => host.replaceChildren(make("p", error.status === 404 ? "The manager has no history of it yet." : error.message)))
      .finally(() => { host.dataset.done = "true"; });
    return host;
  }

  explanation(source, destination) {
    const host = make("div", null, { class: "explain" });
    host.append(button("Explain", () => host.replaceChildren(this.later(this.actions.explain(source, destination), explainParts, "explanation")), { "data-action": "explain" }));
    return host;
  }

  reasons(all) {
    return rows("Why it is not attributed", [...new Set(all)].map((why) => ({ name: reasonText(why), value: "", hint: whatToDo(why) })));
  }

  ways(pairs) {
    return make("p", null, { class: "ways" }, pairs.map(([text, one]) => button(text, () => this.actions.focus(one.id))));
  }

  place(one) {
    const pods = [...this.model.pods].filter(([, where]) => where === one).map(([name]) => name).sort();
    const known = one.kind === "Service" || one.kind === "Workload";
    const sorted = (edges) => [...edges].sort((a, b) => b.failed - a.failed || b.attempts - a.attempts);
    return [
      make("h2", one.title), make("p", known ? `${one.kind}, ${counted(one.pods, "pod")}` : one.kind),
      make("p", null, { class: "ways" }, [
        button("Focus", () => this.actions.focus(one.id)), button("Blast radius", () => this.actions.focus(one.id, "blast")),
      ]),
      make("p", verdict(one), { class: "verdict" }),
      ...this.reasons(one.in.flatMap((edge) => edge.reasons || [])),
      ...rows("Connects to (attempts, or failed of attempts)", sorted(one.out).map((edge) => this.edgeRow(edge, `${edge.to.title} :${edge.port}`))),
      ...rows("Connected from (attempts, or failed of attempts)", sorted(one.in).map((edge) => this.edgeRow(edge, `${edge.from.title} :${edge.port}`))),
      ...rows("Labels: choose one to group by it", Object.entries(one.labels || {}).map(([key, text]) => ({ name: key, value: text, go: () => this.actions.group(key) }))),
      ...rows("Workloads", one.workloads.map((workload) => ({ name: workload.name, value: workload.kind }))),
      ...rows("Pods that connected or accepted", pods.map((name) => ({ name, value: "" }))),
    ];
  }

  group(group) {
    const inside = new Set(group.places);
    const edges = [...new Set(group.places.flatMap((one) => [...one.in, ...one.out]))];
    const from = edges.filter((edge) => !inside.has(edge.from));
    const to = edges.filter((edge) => !inside.has(edge.to));
    const total = sumOf(edges);
    const row = (one) => ({ name: one.name, value: one.in.some((edge) => edge.failed) ? "failing" : one.kind, kind: one.in.some((edge) => edge.failed) ? "bad" : "", go: () => this.actions.select(one.id) });
    const own = group.kind === "Namespace" ? { namespace: group.name } : KINDS_OF_GROUPS[group.kind] ? { area: group.id } : null;
    return [
      make("h2", group.kind === "Label" ? `${this.model.label}: ${group.name}` : group.name), make("p", `${KINDS_OF_GROUPS[group.kind] || "Not in a namespace"}, ${counted(group.places.length, "entry", "entries")}`),
      make("p", null, { class: "ways" }, [
        ...(own ? [button(own.namespace ? "Only this namespace" : "Only this group", () => this.actions.filter(own))] : []),
        button("As a table", () => this.actions.filter({ view: "table", ...(own || { kind: group.kind }) })),
      ]),
      figures([
        ["Connects into it", count(sumOf(from).attempts)], ["Connects out of it", count(sumOf(to).attempts)],
        ["Connects within it", count(total.attempts - sumOf(from).attempts - sumOf(to).attempts)], ["Failed", count(total.failed), total.failed ? "bad" : ""],
      ]),
      ...this.reasons(group.kind === "Unresolved" ? edges.flatMap((edge) => edge.reasons || []) : []),
      ...rows("In it", group.places.map(row)),
    ];
  }

  window() {
    const { data, changes } = this.model;
    const counts = Object.values(data.observation);
    const total = (name) => counts.reduce((sum, one) => sum + (one[name] || 0), 0);
    const sum = (name) => counts.flatMap((one) => Object.values(one[name] || {})).reduce((a, b) => a + b, 0);
    const nodes = Object.entries(data.coverage || {});
    const whole = nodes.filter(([, one]) => one.observed === "whole").length;
    const failing = this.model.edges.filter((edge) => edge.failed && edge.change !== "removed").sort((a, b) => b.failed - a.failed);
    const changed = changes ? this.model.edges.filter((edge) => edge.change).sort((a, b) => (a.change < b.change ? -1 : a.change > b.change ? 1 : b.attempts - a.attempts)) : [];
    const name = (edge) => `${edge.from.title} → ${edge.to.title} :${edge.port}`;
    return [
      make("h2", changes ? "What changed" : "This window"),
      make("p", data.window ? `${windowText(data.window.start.slice(0, 19))} to ${data.window.end.slice(11, 19)} UTC` : "no window yet"),
      ...(changes ? [
        make("p", changed.length ? `${counted(changed.length, "edge")} differ from the compared window.` : "No edge differs from the compared window.", { class: "verdict" }),
        ...(changes.notObserved.length ? [make("p", `Not observed as a whole in both windows, so a difference there proves nothing: ${changes.notObserved.join(", ")}`, { class: "warn" })] : []),
        ...["added", "removed", "changed"].flatMap((kind) => rows(`${kind[0].toUpperCase()}${kind.slice(1)}`, changed.filter((edge) => edge.change === kind).map((edge) => ({ ...this.edgeRow(edge, name(edge)), kind })))),
      ] : []),
      figures([
        ["Nodes observed", whole === nodes.length ? count(whole) : `${whole} of ${nodes.length}`, whole === nodes.length ? "" : "bad"],
        ["Connect attempts", count(total("attempts"))], ["Delivered", count(total("delivered"))],
        ["Filtered on purpose", count(sum("filtered"))], ["Unresolved", count(sum("unresolved"))], ["Lost", count(sum("lost")), sum("lost") ? "bad" : ""],
      ]),
      ...rows("Not observed: a missing line proves nothing there", nodes.filter(([, one]) => one.observed !== "whole").map(([node, one]) => ({ name: node, value: one.observed === "part" ? "in part" : "", kind: "bad", hint: reasonText(one.reason) }))),
      make("p", null, { class: "ways" }, [button("Coverage: what was seen, and why not", () => this.actions.filter({ view: "coverage" }))]),
      ...rows("Failed connects (failed of attempts)", failing.map((edge) => this.edgeRow(edge, name(edge)))),
    ];
  }
}

function milliseconds(seconds) {
  return `${(seconds * 1000).toLocaleString("en", { maximumSignificantDigits: 3 })} ms`;
}

/* Is it the service or what it depends on: by connects alone. */
export function verdict(one) {
  const failing = (edges, far) => [...new Set(edges.filter((edge) => edge.failed && edge.change !== "removed").map((edge) => edge[far].title))];
  const [callers, needs] = [failing(one.in, "from"), failing(one.out, "to")];
  const list = (names) => (names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", "));
  if (callers.length && needs.length) return `Connects fail on both sides: from ${list(callers)}, and to ${list(needs)}. Look at what it calls first.`;
  if (needs.length) return `It can be reached; its own connects to ${list(needs)} fail. Look there.`;
  if (callers.length) return `Connects to it fail, from ${list(callers)}; all that it calls answers. Look here.`;
  if (!one.in.length && !one.out.length) return "No connects from or to it were seen in this window.";
  return "No connect from or to it failed in this window.";
}
