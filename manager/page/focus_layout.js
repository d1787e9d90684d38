/* Layers around one place: callers before it, dependencies after it, hop by hop along shortest ways. Pure but for text sizes. */

import { joinEdges } from "./map_model.js";
import { linesOf } from "./text_size.js";
import { curvesOf } from "./routes.js";

const CARD = { w: 216, gapX: 110, gapY: 14 };
const LIMIT = 12; // cards of a layer before the rest becomes one card

/* One side of the layers: [[{place, edge parts, parents}], …], failed first, then near their parents, then the busiest. */
function sideOf(edges, focus, hops, upwards) {
  const near = new Map();
  for (const pair of joinEdges(edges, (place) => place.id)) {
    const own = upwards ? pair.to : pair.from;
    if (pair.from !== pair.to) near.set(own, [...(near.get(own) || []), pair]);
  }
  const seen = new Set([focus]);
  let layer = [focus];
  const layers = [];
  for (let hop = 1; hop <= hops && layer.length; hop += 1) {
    const found = new Map();
    layer.forEach((parent, order) => {
      for (const pair of near.get(parent) || []) {
        const id = upwards ? pair.from : pair.to;
        if (seen.has(id)) continue;
        if (!found.has(id)) found.set(id, { id, pairs: [], order });
        found.get(id).pairs.push(pair);
      }
    });
    const sum = (one, name) => one.pairs.reduce((total, pair) => total + pair[name], 0);
    const members = [...found.values()].map((one) => ({ ...one, failed: sum(one, "failed"), attempts: sum(one, "attempts") }));
    members.sort((a, b) => Boolean(b.failed) - Boolean(a.failed) || a.order - b.order || b.attempts - a.attempts || (a.id < b.id ? -1 : 1));
    for (const id of found.keys()) seen.add(id);
    if (members.length) layers.push(members);
    layer = members.map((one) => one.id);
  }
  return layers;
}

export function layersOf(model, edges, focus, hops, blast) {
  return {
    callers: sideOf(edges, focus, blast ? 99 : hops, true),
    dependencies: blast ? [] : sideOf(edges, focus, hops, false),
  };
}

function cardSize(place, w, failed, middle) {
  const name = linesOf(place.name, w - 28, middle ? 15 : 13, 600) * (middle ? 20 : 18);
  const space = place.namespace ? linesOf(place.namespace, w - 28, 11.5) * 15 : 0;
  return 18 + name + space + (middle ? 18 : 17) + (failed ? 16 : 0);
}

/* The shown members of each layer, and one member `more` for the rest. */
function limited(layers, all) {
  return layers.map((members) => {
    if (all || members.length <= LIMIT) return members;
    return [...members.slice(0, LIMIT), { id: "", more: members.length - LIMIT, pairs: [], failed: 0 }];
  });
}

/* cards [{key, id, side, hop, box, member}] and the lines between layers; on a narrow stage layers lie one above another. */
export function layoutFocus(model, layers, focus, { width, all }) {
  const narrow = width < 560;
  const w = narrow ? Math.floor((width - 44) / 2) : CARD.w;
  const sides = { callers: limited(layers.callers, all), dependencies: limited(layers.dependencies, all) };
  const ordered = [
    ...sides.callers.map((members, at) => ({ side: "caller", hop: at + 1, members })).reverse(),
    { side: "middle", hop: 0, members: [{ id: focus, pairs: [], failed: 0 }] },
    ...sides.dependencies.map((members, at) => ({ side: "dependency", hop: at + 1, members })),
  ];
  const cards = [];
  const headings = [];
  let along = 0;
  for (const { side, hop, members } of ordered) {
    const sized = members.map((member) => ({
      key: member.more ? `${side}${hop}:more` : `${side}${hop}:${member.id}`, id: member.id, side, hop, member,
      h: member.more ? 34 : cardSize(model.places.get(member.id), w, member.failed, side === "middle"),
    }));
    headings.push({ side, hop, count: members.reduce((sum, one) => sum + (one.more || 1), 0), x: narrow ? 0 : along, y: narrow ? along : 0, w: narrow ? width - 32 : w });
    if (narrow) {
      along += 28;
      for (let at = 0; at < sized.length; at += 2) {
        const row = sized.slice(at, at + 2);
        row.forEach((card, column) => cards.push({ ...card, box: { x: row.length === 1 && side === "middle" ? w / 2 + 6 : column * (w + 12), y: along, w, h: card.h } }));
        along += Math.max(...row.map((card) => card.h)) + 14;
      }
      along += 26;
    } else {
      const high = sized.reduce((sum, card) => sum + card.h + CARD.gapY, -CARD.gapY);
      let y = -high / 2;
      for (const card of sized) {
        cards.push({ ...card, box: { x: along, y, w, h: card.h } });
        y += card.h + CARD.gapY;
      }
      along += w + CARD.gapX;
    }
  }
  const top = Math.min(0, ...cards.map((card) => card.box.y));
  if (!narrow) {
    headings.forEach((one) => { one.y = Math.min(...cards.filter((card) => card.side === one.side && card.hop === one.hop).map((card) => card.box.y)) - 30; });
  }
  const bottom = Math.max(...cards.map((card) => card.box.y + card.box.h));
  const bounds = narrow ? { x: 0, y: 0, w: width - 32, h: bottom } : { x: 0, y: top - 34, w: along - CARD.gapX, h: bottom - top + 34 };
  return { cards, headings, lines: linesBetween(cards, narrow), bounds, narrow };
}

function linesBetween(cards, narrow) {
  const at = new Map(cards.map((card) => [card.key, card]));
  const focus = cards.find((card) => card.side === "middle");
  const wanted = [];
  for (const card of cards) {
    for (const pair of card.member.pairs) {
      const parentId = card.side === "caller" ? pair.to : pair.from;
      const parent = card.hop === 1 ? focus : at.get(`${card.side}${card.hop - 1}:${parentId}`);
      if (parent) wanted.push(card.side === "caller" ? { edge: pair, from: card, to: parent } : { edge: pair, from: parent, to: card });
    }
  }
  const spread = (list, end, far) => {
    const groups = new Map();
    for (const line of list) groups.set(line[end].key, [...(groups.get(line[end].key) || []), line]);
    for (const group of groups.values()) {
      group.sort((a, b) => a[far].box.y - b[far].box.y || a[far].box.x - b[far].box.x);
      group.forEach((line, index) => { line[`${end}Slot`] = group.length === 1 ? 0 : index / (group.length - 1) - 0.5; });
    }
  };
  spread(wanted, "from", "to");
  spread(wanted, "to", "from");
  return wanted.map(({ edge, from, to, fromSlot, toSlot }) => {
    const [a, b] = [from.box, to.box];
    const points = narrow
      ? [[a.x + a.w / 2 + fromSlot * 60, a.y + a.h], [b.x + b.w / 2 + toSlot * 60, b.y]]
      : [[a.x + a.w, a.y + a.h / 2 + fromSlot * Math.min(a.h - 14, 60)], [b.x, b.y + b.h / 2 + toSlot * Math.min(b.h - 14, 60)]];
    return { edge, from: from.key, to: to.key, path: curvesOf(points, narrow) };
  });
}
