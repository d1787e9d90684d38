/* Totals and edges of the windows that this tab has read, for the time strip and for each edge's small graph. */

import { edgeId } from "./map_model.js";
import { windowText } from "./words.js";

const LARGE = 5000; // edges; of larger maps only the totals are kept
const known = new Map();

export function forgetWindows() {
  known.clear();
}

export function keepWindow(data) {
  if (!data.window) return;
  const counts = Object.values(data.observation);
  const sum = (name) => counts.flatMap((one) => Object.values(one[name] || {})).reduce((a, b) => a + b, 0);
  known.set(data.window.id, {
    attempts: counts.reduce((total, one) => total + (one.attempts || 0), 0),
    failed: data.edges.reduce((total, edge) => total + edge.failed, 0),
    lost: sum("lost"), recall: data.recall.value,
    unobserved: Object.values(data.coverage || {}).filter((one) => one.observed !== "whole").length,
    edges: data.edges.length > LARGE ? null : new Map(data.edges.map((edge) => [edgeId(edge), [edge.attempts, edge.failed]])),
  });
}

export function totalsOf(id) {
  return known.get(id);
}

/* One entry per window that was read, oldest first: {value, failed, title}. */
export function edgeHistory(id) {
  return [...known].filter(([, one]) => one.edges).sort(([a], [b]) => (a < b ? -1 : 1)).map(([window, one]) => {
    const [value, failed] = one.edges.get(id) || [0, 0];
    return { value, failed, title: `${windowText(window)}: ${value} attempts${failed ? `, ${failed} failed` : ""}` };
  });
}
