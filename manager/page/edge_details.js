/* What the manager knows of an edge beyond its window: when it was seen, its counts over 30 days, and its explanation. */

import { count, counted, make } from "./dom.js";
import { figures, rows, sparkline } from "./panel_parts.js";
import { windowText } from "./words.js";

const BARS = 90;

/* One entry per bar, oldest first; of more windows than there are bars each bar is the sum of some. */
export function barsOf(found) {
  const per = Math.max(1, Math.ceil(found.windows.length / BARS));
  const bars = [];
  for (let at = 0; at < found.windows.length; at += per) {
    const sum = (name) => found[name].slice(at, at + per).reduce((total, one) => total + (one || 0), 0);
    const [value, failed] = [sum("attempts"), sum("failed")];
    const last = found.windows[Math.min(at + per, found.windows.length) - 1];
    const when = per === 1 ? windowText(last) : `${windowText(found.windows[at])} to ${windowText(last)}`;
    bars.push({ value, failed, title: `${when}: ${counted(value, "attempt")}${failed ? `, ${count(failed)} failed` : ""}` });
  }
  return bars;
}

export function historyParts(found) {
  const seen = found.attempts.filter((one) => one !== null).length;
  const when = [["First seen", found.firstSeen ? windowText(found.firstSeen) : "–"], ["Last seen", found.lastSeen ? windowText(found.lastSeen) : "–"],
    ["In windows", `${count(seen)} of ${count(found.windows.length)}`]];
  const bars = found.windows.length > 1 ? [make("h3", "Attempts over 30 days"), sparkline(barsOf(found), "Attempts by window")] : [];
  return [figures(when), ...bars];
}

/* The cgroups of each pod with records, once per node. */
function cgroupsOf(records) {
  const found = new Map();
  for (const one of records.filter((record) => record.cgroups)) {
    found.set(`${one.node} ${one.sourcePod.uid}`, { name: `${sourceOf(one)} on ${one.node}`, value: "", hints: pathsOf(one) });
  }
  return [...found.values()];
}

const pathsOf = (pod) => [...(pod.cgroups || []), ...(pod.moreCgroups ? [`and ${counted(pod.moreCgroups, "cgroup")} more`] : [])];

const sourceOf = (record) => `${record.sourcePod.namespace || ""}/${record.sourcePod.name || record.sourcePod.uid}`;

/* The explanation of an edge, or of a pair without one. */
export function explainParts(found) {
  const verdicts = { seen: "Seen.", not_seen_would_have_been: "Not seen, and would have been.", not_observed: "Not observed." };
  const record = (one) => ({
    name: `${sourceOf(one)} → ${one.destinationIP}:${one.destinationPort}`,
    value: count(one.attempts), hint: one.identity,
  });
  const owner = (one) => `${one.kind} ${one.namespace ? `${one.namespace}/` : ""}${one.name}`;
  const addresses = found.addresses.flatMap((one) => [
    { name: one.address, value: "", hints: one.heldBy ? [`held by ${owner(one.heldBy)} since ${windowText(one.heldBy.from)}`, ...pathsOf(one.heldBy)] : ["held by nobody for certain"] },
    ...one.others.map((other) => ({ name: `not ${owner(other)}`, value: "", hint: other.ruledOut })),
  ]);
  const gone = found.edges.length && !found.batchesKept ? [make("p", "Its records are older than the retention of batches.")] : [];
  return [
    make("p", verdicts[found.verdict], { class: "verdict" }),
    ...rows("Why nothing is proven", found.reasons.map((text) => ({ name: text, value: "" }))),
    ...gone,
    ...rows(`Records${found.moreRecords ? ` (and ${count(found.moreRecords)} more)` : ""}`, found.records.map(record)),
    ...rows("Cgroups of its sources", cgroupsOf(found.records)),
    ...rows("Who held the address", addresses),
  ];
}
