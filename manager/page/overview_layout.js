/* Where groups, open groups' services and the lines between them are in the overview. Pure but for the size of text. */

import { isOutside } from "./groups.js";
import { joinEdges } from "./map_model.js";
import { layeredBlock } from "./layered_layout.js";
import { acrossColumns, bow, curvesOf, port, routeInBlock, slotsOf } from "./routes.js";
import { linesOf, textWidth } from "./text_size.js";

const GROUP = { w: 226, gapX: 64, gapY: 14 };
const PLACE = { w: 188, gapX: 60, gapY: 12 };
const AREA = { side: 16, top: 40, bottom: 16 };
export const SMALL = 190; // boxes narrower than this have two lines of figures
export const READABLE = 0.74; // the smallest zoom at which names are read
const PHONE = 560; // stages narrower than this have smaller boxes
export const MOST_OPEN = 150; // services drawn in an open group
export const DOTS = { pitch: 8, size: 5.5, most: 240 };

const weightOf = (edge) => 1 + Math.log10(1 + edge.attempts);

function groupSize(group, w) {
  const lines = linesOf(group.name, w - 26, 13.5, 600);
  const perRow = Math.floor((w - 26) / DOTS.pitch);
  const dots = Math.ceil(Math.min(DOTS.most, group.places.length) / perRow);
  return { id: group.id, w, h: 19 + lines * 18 + (w < SMALL ? 34 : 17) + dots * DOTS.pitch + 6 };
}

/* Where services of several namespaces stand together, each has its namespace below its name. */
export function namesSpace(group) {
  return group.kind === "Label" || group.kind === "Ungrouped";
}

function placeSize(place, w, space) {
  return { id: place.id, w, h: 15 + linesOf(place.name, w - 28, 12.5) * 17 + (space ? linesOf(place.namespace, w - 28, 11.5) * 15 : 0) };
}

function columnsFor(count, box, aspect) {
  return Math.max(1, Math.round(Math.sqrt((count * (box.h + box.gapY) * aspect) / (box.w + box.gapX))));
}

/* The places that an open group shows: those with failed and many connects first. */
export function shownPlaces(group) {
  if (group.places.length <= MOST_OPEN) return group.places;
  const weigh = (place) => [...place.in, ...place.out].reduce((sum, edge) => sum + 1e9 * edge.failed + edge.attempts, 0);
  const weights = new Map(group.places.map((place) => [place, weigh(place)]));
  return [...group.places].sort((a, b) => weights.get(b) - weights.get(a) || (a.id < b.id ? -1 : 1)).slice(0, MOST_OPEN);
}

function openBlock(group, edges, w, narrow) {
  const items = shownPlaces(group).map((place) => placeSize(place, w, namesSpace(group)));
  const inside = new Set(items.map((item) => item.id));
  const inner = edges.filter((edge) => inside.has(edge.from) && inside.has(edge.to));
  const most = narrow ? 1 : Math.max(Math.min(3, items.length), columnsFor(items.length, { ...PLACE, h: 34 }, 1.5));
  return layeredBlock(items, inner, { most, gapX: PLACE.gapX, gapY: PLACE.gapY, fill: true });
}

/* A block at its place within an area. */
function shifted(block, dx, dy, area) {
  const boxes = new Map([...block.boxes].map(([id, box]) => [id, { ...box, x: box.x + dx, y: box.y + dy }]));
  const columns = block.columns.map((column) => ({
    x: column.x + dx, w: column.w, top: dy - 8, bottom: area.y + area.h - 2, boxes: column.boxes.map((box) => boxes.get(box.id)),
  }));
  return { boxes, columns };
}

/* groups: those to show, open: ids of open ones, edges: those that arrange all, stage: {width, height} in pixels. */
export function layoutOverview(groups, open, edges, { width, height }) {
  const narrow = width < PHONE;
  const groupWidth = narrow ? Math.floor((width - 32 - 40) / 2) : GROUP.w;
  const placeWidth = narrow ? width - 32 - 2 * AREA.side : PLACE.w;
  const weigh = (pairs) => pairs.map(({ from, to, attempts }) => ({ from, to, weight: weightOf({ attempts }) }));
  const between = weigh(joinEdges(edges, (place) => place.group));
  const within = open.size ? weigh(joinEdges(edges.filter((edge) => open.has(edge.from.group) && edge.from.group === edge.to.group), (place) => place.id)) : [];
  const blocks = new Map();
  const items = groups.map((group) => {
    if (!open.has(group.id)) return groupSize(group, groupWidth);
    const block = openBlock(group, within, placeWidth, narrow);
    blocks.set(group.id, block);
    const w = Math.max(block.w + 2 * AREA.side, Math.min(textWidth(group.name, 13.5, 600) + 70, 300));
    block.top = AREA.top + 18 * (linesOf(group.name, w - 60, 13.5, 600) - 1);
    return { id: group.id, w, h: block.h + block.top + AREA.bottom };
  });
  const outer = bestBlock(items, between, groups, { width, height, narrow, open });
  const boxes = new Map(outer.boxes);
  const inner = new Map();
  for (const [id, block] of blocks) {
    const area = outer.boxes.get(id);
    const moved = shifted(block, area.x + (area.w - block.w) / 2, area.y + block.top, area);
    inner.set(id, moved);
    for (const [place, box] of moved.boxes) boxes.set(place, box);
  }
  return { boxes, outer, inner, bounds: { x: 0, y: 0, w: outer.w, h: outer.h } };
}

/* Of several numbers of columns the one that can be shown largest; if none can be shown whole, one that is not too wide. */
function bestBlock(items, edges, groups, { width, height, narrow, open }) {
  const last = new Set(narrow ? [] : groups.filter(isOutside).map((group) => group.id));
  const area = items.reduce((sum, one) => sum + (one.w + GROUP.gapX) * (one.h + GROUP.gapY), 0);
  const wide = items.reduce((sum, one) => sum + one.w + GROUP.gapX, 0) / Math.max(1, items.length);
  const guess = Math.max(1, Math.round(Math.sqrt((area * width) / Math.max(1, height)) / wide));
  const fitting = Math.max(1, Math.floor((width / READABLE + GROUP.gapX) / wide));
  const tries = narrow ? [open.size ? 1 : 2] : [...new Set([guess - 1, guess, guess + 1, guess + 2, fitting, fitting - 1])].filter((most) => most > 0);
  let best = null;
  for (const most of tries) {
    const block = layeredBlock(items, edges, {
      most, gapX: narrow ? 40 : GROUP.gapX, gapY: GROUP.gapY, last, rowWidth: narrow ? width - 32 : Math.max(width, Math.sqrt(area) * 1.2),
    });
    const [across, down] = [(width - 32) / block.w, (height - 24) / block.h];
    const score = Math.min(across, down) >= READABLE ? 2 + Math.min(1.2, across, down) : across >= READABLE ? 1 + down : across;
    if (!best || score > best.score * 1.01) best = { block, score };
  }
  return best.block;
}

/* From an item out of its open group to the group's side, or just from a closed group's side. */
function wayOut(layout, id, groupId, right, slot, goal) {
  const box = layout.boxes.get(id);
  const area = layout.boxes.get(groupId);
  const start = port(box, right, slot);
  if (id === groupId) return [start];
  const columns = layout.inner.get(groupId).columns;
  const points = [start];
  if (box.column >= 0) {
    const [first, last] = right ? [box.column + 1, columns.length - 1] : [box.column - 1, 0];
    points.push(...acrossColumns(columns, first, last, right ? 1 : -1, start[1], goal));
  }
  points.push([right ? area.x + area.w : area.x, points.at(-1)[1]]);
  return points;
}

function routeOf(layout, edge, slotA, slotB) {
  const [ga, gb] = [edge.fromGroup, edge.toGroup];
  if (ga === gb) return routeInBlock(layout.inner.get(ga).columns, layout.boxes.get(edge.from), layout.boxes.get(edge.to), slotA, slotB);
  const [a, b] = [layout.boxes.get(ga), layout.boxes.get(gb)];
  const middle = (id) => layout.boxes.get(id).y + layout.boxes.get(id).h / 2;
  const columns = layout.outer.columns;
  const same = a.column === b.column && a.column >= 0;
  const right = a.column < 0 || b.column < 0 ? a.x <= b.x : a.column <= b.column;
  const leave = wayOut(layout, edge.from, ga, right, slotA, middle(edge.to));
  const enter = wayOut(layout, edge.to, gb, same ? true : !right, slotB, middle(edge.from)).reverse();
  if (same) {
    return [...leave, ...bow(columns[a.column], leave.at(-1)[1], enter[0][1]), ...enter];
  }
  const step = right ? 1 : -1;
  if (a.column >= 0 && b.column >= 0) {
    // a box narrower than its column: straight on to the column's side, below nothing
    const side = (column, at) => (at ? column.x + column.w : column.x);
    leave.push([side(columns[a.column], right), leave.at(-1)[1]]);
    enter.unshift([side(columns[b.column], !right), enter[0][1]]);
  }
  const between = a.column < 0 || b.column < 0 || Math.abs(a.column - b.column) < 2
    ? [] : acrossColumns(columns, a.column + step, b.column - step, step, leave.at(-1)[1], enter[0][1]);
  return [...leave, ...between, ...enter];
}

/* Lines for joined edges whose ends have boxes: [{edge, path}]. */
export function linesFor(layout, pairs) {
  const drawn = pairs.filter((edge) => edge.from !== edge.to && layout.boxes.has(edge.from) && layout.boxes.has(edge.to));
  const slots = slotsOf(drawn, layout.boxes);
  return drawn.map((edge) => ({
    edge, path: curvesOf(routeOf(layout, edge, slots.get(`from:${edge.id}`), slots.get(`to:${edge.id}`))),
  }));
}
