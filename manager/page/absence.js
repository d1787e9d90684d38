/* What it means that an edge is not there: not seen and would have been, or not observed, and why. Pure.

The same rule as the manager's (manager/history/edges/absence.py): every node on which a pod of either end ran must have
been observed for the whole window and have lost nothing. */

import { counted } from "./dom.js";
import { reasonText } from "./words.js";

/* Node -> why its report proves nothing. */
export function unobservedNodes(data) {
  const found = new Map();
  for (const [node, one] of Object.entries(data.coverage || {})) {
    const lost = Object.values(data.observation[node]?.lost || {}).reduce((sum, number) => sum + number, 0);
    if (one.observed === "none") found.set(node, `node ${node} was not observed: ${reasonText(one.reason || "no_report")}`);
    else if (one.observed === "part") found.set(node, `node ${node} was observed in part: ${reasonText(one.reason || "gap")}`);
    else if (lost) found.set(node, `node ${node} lost ${counted(lost, "connect")}`);
  }
  return found;
}

export function makeAbsence(data) {
  const nodes = unobservedNodes(data);
  const observed = Object.keys(data.coverage || {}).length > 0;
  const of = new Map();
  const whyOf = (place) => {
    if (!of.has(place.id)) of.set(place.id, (place.nodes || []).filter((node) => nodes.has(node)).map((node) => nodes.get(node)));
    return of.get(place.id);
  };
  return {
    /* Why nothing is proven between two places; empty: not seen, and would have been. */
    reasons(from, to) {
      if (!observed) return ["no node was observed in this window"];
      return [...new Set([...whyOf(from), ...whyOf(to)])];
    },
    /* Whether a place was observed on all of its nodes. */
    observed: (place) => observed && whyOf(place).length === 0,
    whole: observed && nodes.size === 0,
  };
}

export function absenceText(reasons) {
  return reasons.length ? `not observed: ${reasons.slice(0, 3).join("; ")}${reasons.length > 3 ? "; …" : ""}` : "not seen, and would have been";
}
