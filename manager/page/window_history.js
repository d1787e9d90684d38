/* Totals of windows, for the time strip: from the manager's list, or from a map where it has none yet. */

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
    tags: known.get(data.window.id)?.tags || [],
    purpose: data.window.purpose,
  });
}

export function totalsOf(id) {
  return known.get(id);
}

/* Windows as the manager lists them; one whose map is not kept yet has no totals. */
export function keepTotals(windows) {
  for (const { id, totals, recall, tags, purpose } of windows) {
    if (totals) {
      const { attempts, failed, lost, nodes } = totals;
      known.set(id, { attempts, failed, lost, recall, unobserved: nodes.part + nodes.none, tags, purpose });
    }
  }
}
