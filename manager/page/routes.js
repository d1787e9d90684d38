/* Lines from box to box that pass through the gaps between the boxes of each column on their way. Pure. */

const BOW = 26; // how far a line within a column swings out

/* The height nearest to `y` that is free in a column {boxes, top, bottom}; one without `top` and `bottom` has no end. */
function gapNear(column, y) {
  const boxes = column.boxes;
  let best = null;
  for (let place = 0; place <= boxes.length; place += 1) {
    const above = place ? boxes[place - 1].y + boxes[place - 1].h : column.top ?? -Infinity;
    const below = place < boxes.length ? boxes[place].y : column.bottom ?? Infinity;
    const room = Math.min(5, (below - above) / 4);
    const at = Math.max(above + room, Math.min(below - room, y));
    if (best === null || Math.abs(at - y) < Math.abs(best - y)) best = at;
  }
  return best;
}

/* Points that lead to the right (`step` 1) or left (-1) across columns `first`…`last` from height `y` towards `goal`. */
export function acrossColumns(columns, first, last, step, y, goal) {
  const points = [];
  const total = Math.abs(last - first) + 2;
  for (let index = first, passed = 1; (last - index) * step >= 0; index += step, passed += 1) {
    const column = columns[index];
    const at = gapNear(column, y + ((goal - y) * passed) / total);
    const sides = [column.x - 4, column.x + column.w + 4];
    if (step < 0) sides.reverse();
    points.push([sides[0], at], [sides[1], at]);
  }
  return points;
}

/* Where a line leaves or enters a box: `right` or left side, spread by `slot` in -0.5…0.5. */
export function port(box, right, slot) {
  const spread = Math.min(box.h - 12, 40);
  return [right ? box.x + box.w : box.x, box.y + box.h / 2 + slot * spread];
}

/* Out of a column at its right side and back into it. */
export function bow(column, y1, y2) {
  const side = column.x + column.w;
  return [[side, y1], [side + BOW, 0, true], [side, y2]];
}

/* The route from `a` to `b`, boxes of one block: points that are joined by curves with level ends. */
export function routeInBlock(columns, a, b, slotA, slotB) {
  if (a.column < 0 || b.column < 0) {
    const right = a.x + a.w / 2 <= b.x + b.w / 2;
    return [port(a, right, slotA), port(b, !right, slotB)];
  }
  if (a.column === b.column) {
    const [x1, y1] = port(a, true, slotA);
    const [x2, y2] = port(b, true, slotB);
    return [[x1, y1], ...bow(columns[a.column], y1, y2), [x2, y2]];
  }
  const right = a.column < b.column;
  const start = port(a, right, slotA);
  const end = port(b, !right, slotB);
  const step = right ? 1 : -1;
  if (Math.abs(a.column - b.column) === 1) return [start, end];
  return [start, ...acrossColumns(columns, a.column + step, b.column - step, step, start[1], end[1]), end];
}

/* Slots for each edge at each of its boxes, in the order of the far ends: lines do not cross where they leave. */
export function slotsOf(edges, boxes) {
  const ends = new Map();
  for (const edge of edges) {
    for (const [own, far, role] of [[edge.from, edge.to, "from"], [edge.to, edge.from, "to"]]) {
      if (!ends.has(own)) ends.set(own, []);
      ends.get(own).push({ edge, role, at: boxes.get(far).y + boxes.get(far).h / 2 });
    }
  }
  const slots = new Map();
  for (const list of ends.values()) {
    list.sort((a, b) => a.at - b.at || (a.edge.id < b.edge.id ? -1 : 1));
    list.forEach(({ edge, role }, index) => {
      const slot = list.length === 1 ? 0 : index / (list.length - 1) - 0.5;
      slots.set(`${role}:${edge.id}`, slot);
    });
  }
  return slots;
}

/* A route as cubic curves: {x, y, curves: [[c1x, c1y, c2x, c2y, x, y], …]}; a point with `true` is the crest of a bow. */
export function curvesOf(points, vertical = false) {
  const curves = [];
  let [x0, y0] = points[0];
  for (let at = 1; at < points.length; at += 1) {
    let [x, y, crest] = points[at];
    if (crest) {
      const out = x;
      [x, y] = points[(at += 1)];
      const reach = ((out - Math.max(x0, x)) * 4) / 3;
      curves.push([x0 + reach, y0, x + reach, y, x, y]);
    } else if (vertical) {
      curves.push([x0, (y0 + y) / 2, x, (y0 + y) / 2, x, y]);
    } else {
      curves.push([(x0 + x) / 2, y0, (x0 + x) / 2, y, x, y]);
    }
    [x0, y0] = [x, y];
  }
  return { x: points[0][0], y: points[0][1], curves };
}

/* Points along a path, for finding the line below a pointer and for tests. */
export function pointsAlong({ x, y, curves }, each = 14) {
  const points = [];
  let [x0, y0] = [x, y];
  for (const [a, b, c, d, x1, y1] of curves) {
    for (let step = 0; step <= each; step += 1) {
      const t = step / each;
      const u = 1 - t;
      points.push([u * u * u * x0 + 3 * u * u * t * a + 3 * u * t * t * c + t * t * t * x1,
        u * u * u * y0 + 3 * u * u * t * b + 3 * u * t * t * d + t * t * t * y1]);
    }
    [x0, y0] = [x1, y1];
  }
  return points;
}
