/* Boxes in columns, callers left of what they call: `layeredBlock(items, edges, options)`. Pure, and the same at every call. */

/* How far down the flow each item is: in the mean an edge leads one level on (trophic levels, MacKay et al. 2020). */
export function levelsOf(ids, edges) {
  const index = new Map(ids.map((id, at) => [id, at]));
  const near = ids.map(() => []); // of an item: the index of another one, its distance in levels, and a weight, in turn
  for (const { from, to, weight } of edges) {
    const [at, other] = [index.get(from), index.get(to)];
    if (at === other || at === undefined || other === undefined) continue;
    near[at].push(other, -1, weight);
    near[other].push(at, 1, weight);
  }
  const level = new Float64Array(ids.length);
  for (let round = 0; round < 120; round += 1) {
    let moved = 0;
    for (let at = 0; at < near.length; at += 1) {
      const others = near[at];
      if (!others.length) continue;
      let [sum, weights] = [0, 0];
      for (let place = 0; place < others.length; place += 3) {
        sum += others[place + 2] * (level[others[place]] + others[place + 1]);
        weights += others[place + 2];
      }
      moved = Math.max(moved, Math.abs(sum / weights - level[at]));
      level[at] = sum / weights;
    }
    if (moved < 0.002) break;
  }
  for (const part of partsOf(near)) {
    const lowest = Math.min(...part.map((at) => level[at]));
    for (const at of part) level[at] -= lowest;
  }
  return new Map(ids.map((id, at) => [id, level[at]]));
}

/* Items that edges join, by index. */
function partsOf(near) {
  const seen = new Set();
  const parts = [];
  for (let start = 0; start < near.length; start += 1) {
    if (seen.has(start)) continue;
    const part = [start];
    seen.add(start);
    for (const at of part) {
      for (let place = 0; place < near[at].length; place += 3) {
        const other = near[at][place];
        if (!seen.has(other)) {
          seen.add(other);
          part.push(other);
        }
      }
    }
    parts.push(part);
  }
  return parts;
}

const tall = (items, gap) => items.reduce((sum, one) => sum + one.h + gap, -gap);

/* Items by level into columns: by whole levels where that fills the columns evenly, else into equal parts. */
function intoColumns(items, level, most, gap) {
  const sorted = [...items].sort((a, b) => level.get(a.id) - level.get(b.id) || (a.id < b.id ? -1 : 1));
  const whole = new Map();
  for (const item of sorted) {
    const at = Math.round(level.get(item.id));
    whole.set(at, [...(whole.get(at) || []), item]);
  }
  const ideal = Math.max(tall(items, gap) / most, ...items.map((one) => one.h));
  const highest = Math.max(...[...whole.values()].map((column) => tall(column, gap)));
  if (whole.size <= most && highest <= 1.3 * ideal) return [...whole.values()];
  const columns = [[]];
  let filled = 0;
  for (const item of sorted) {
    if (columns.at(-1).length && filled + item.h / 2 > ideal && columns.length < most) {
      columns.push([]);
      filled = 0;
    }
    columns.at(-1).push(item);
    filled += item.h + gap;
  }
  return columns;
}

function stack(column, gap, height) {
  let y = (height - tall(column, gap)) / 2;
  for (const item of column) {
    item.y = y;
    y += item.h + gap;
  }
}

/* Orders each column by where its neighbours are, to and fro, and keeps the order with the shortest edges. */
function orderColumns(columns, edges, gap) {
  const height = Math.max(...columns.map((column) => tall(column, gap)));
  const at = new Map(columns.flat().map((item) => [item.id, item]));
  const near = new Map(columns.flat().map((item) => [item.id, []]));
  const joined = edges.filter(({ from, to }) => from !== to && at.has(from) && at.has(to));
  for (const { from, to, weight } of joined) {
    near.get(from).push([at.get(to), weight]);
    near.get(to).push([at.get(from), weight]);
  }
  const middle = (item) => item.y + item.h / 2;
  const length = () => joined.reduce((sum, { from, to, weight }) => sum + weight * Math.abs(middle(at.get(from)) - middle(at.get(to))), 0);
  columns.forEach((column) => stack(column, gap, height));
  let best = { length: Infinity };
  for (let round = 0; round < 16; round += 1) {
    const now = length();
    if (now < best.length) best = { length: now, orders: columns.map((column) => [...column]) };
    for (const column of round % 2 ? [...columns].reverse() : columns) {
      for (const item of column) {
        const others = near.get(item.id);
        const weights = others.reduce((sum, [, weight]) => sum + weight, 0);
        item.wish = weights ? others.reduce((sum, [other, weight]) => sum + weight * middle(other), 0) / weights : middle(item);
      }
      column.sort((a, b) => a.wish - b.wish || (a.id < b.id ? -1 : 1));
      stack(column, gap, height);
    }
  }
  best.orders.forEach((column) => stack(column, gap, height));
  return { columns: best.orders, height };
}

/* Puts items that no edge joins below the shortest columns. */
function fillUp(columns, items, most, gap) {
  const wanted = Math.min(most, Math.ceil(items.length / 6));
  while (columns.length < wanted) columns.push([]);
  for (const item of [...items].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    columns.reduce((a, b) => (tall(b, gap) < tall(a, gap) ? b : a)).push(item);
  }
}

/* Items that no edge joins, in rows below the others, by name. */
function inRows(items, wide, gap) {
  let [x, y, row] = [0, 0, 0];
  const columns = [];
  for (const item of [...items].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    if (x > 0 && x + item.w > wide) [x, y, row] = [0, y + row + gap, 0];
    columns.push({ id: item.id, x, y, w: item.w, h: item.h });
    x += item.w + gap;
    row = Math.max(row, item.h);
  }
  return { boxes: columns, w: Math.max(0, ...columns.map((one) => one.x + one.w)), h: y + row };
}

/* items [{id, w, h}], edges [{from, to, weight}] -> {w, h, columns: [{x, w, boxes}], boxes: Map(id -> {x, y, w, h, column})};
   `last` are ids for a last column of their own; with `fill`, items that no edge joins fill the columns up. */
export function layeredBlock(items, edges, { most, gapX, gapY, last = new Set(), rowWidth = 0, fill = false }) {
  const joined = new Set(edges.filter((one) => one.from !== one.to).flatMap((one) => [one.from, one.to]));
  const inFlow = items.filter((item) => joined.has(item.id) && !last.has(item.id)).map((item) => ({ ...item }));
  const ends = items.filter((item) => joined.has(item.id) && last.has(item.id)).map((item) => ({ ...item }));
  let alone = items.filter((item) => !joined.has(item.id));
  const boxes = new Map();
  let [w, h, columns] = [0, 0, []];
  const fillers = fill ? alone.map((item) => ({ ...item })) : [];
  if (fill) alone = [];
  if (inFlow.length || ends.length || fillers.length) {
    const level = levelsOf(inFlow.map((one) => one.id), edges);
    const split = inFlow.length ? intoColumns(inFlow, level, Math.max(1, most - (ends.length && most > 1 ? 1 : 0)), gapY) : [];
    fillUp(split, fillers, most, gapY);
    if (ends.length) split.push(ends);
    const ordered = orderColumns(split, edges, gapY);
    for (const [index, column] of ordered.columns.entries()) {
      const wide = Math.max(...column.map((item) => item.w));
      const made = column.map(({ id, y, w: own, h: high }) => ({ id, x: w + (wide - own) / 2, y, w: own, h: high, column: index }));
      made.forEach((box) => boxes.set(box.id, box));
      columns.push({ x: w, w: wide, boxes: made });
      w += wide + gapX;
    }
    w -= gapX;
    h = ordered.height;
  }
  if (alone.length) {
    const below = h ? h + 2 * gapY : 0;
    const rows = inRows(alone, Math.max(w, rowWidth), gapY);
    rows.boxes.forEach((box) => boxes.set(box.id, { ...box, y: box.y + below, column: -1 }));
    w = Math.max(w, rows.w);
    h = below + rows.h;
  }
  return { w, h, columns, boxes };
}
