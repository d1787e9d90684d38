/* Which edges and places pass the filters of the address bar. Pure. */

function passes(edge, { namespace, area, kind, port, only }) {
  if (namespace && edge.from.namespace !== namespace && edge.to.namespace !== namespace) return false;
  if (area && edge.from.group !== area && edge.to.group !== area) return false;
  if (kind && edge.from.kind !== kind && edge.to.kind !== kind) return false;
  if (port && edge.port !== port) return false;
  if (only.includes("failed") && edge.failed === 0) return false;
  if (only.includes("external") && edge.to.kind !== "External") return false;
  if (only.includes("changed") && !edge.change) return false;
  return true;
}

export function isFiltered(state) {
  return Boolean(state.namespace || state.area || state.kind || state.port || state.only || state.since);
}

/* Without a filter everything; with filters of edges, what they join; with filters of places alone, those places, too. */
export function applyFilters(model, state, fresh = null) {
  if (!isFiltered(state)) return { edges: model.edges, places: [...model.places.values()] };
  const edges = model.edges.filter((edge) => passes(edge, state) && (!fresh || fresh.has(edge.id)));
  const found = new Set(edges.flatMap((edge) => [edge.from, edge.to]));
  if (!state.port && !state.only && !fresh) {
    for (const place of model.places.values()) {
      const inside = (!state.namespace || place.namespace === state.namespace) && (!state.area || place.group === state.area);
      if (inside && (!state.kind || place.kind === state.kind)) found.add(place);
    }
  }
  return { edges, places: [...model.places.values()].filter((place) => found.has(place)) };
}
