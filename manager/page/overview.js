/* Overview: groups as boxes, open ones as areas with their services, joined edges as lines between them. */

import { button, counted, fillSelect, make, makeSvg, place, short } from "./dom.js";
import { isFiltered } from "./filters.js";
import { isOutside, labelKeys } from "./groups.js";
import { joinEdges, sumOf } from "./map_model.js";
import { DOTS, layoutOverview, linesFor, MOST_OPEN, namesSpace, SMALL } from "./overview_layout.js";
import { Stage } from "./stage.js";
import { linesOf } from "./text_size.js";
import { state, update } from "./url_state.js";

const FEW = 40; // places that are all shown from the beginning
const MOST_LINES = 80; // beyond, a drawing of lines says nothing

/* The ids of the groups that are open. */
export function openGroups(groups, places) {
  if (state.open === "*" || (state.open === "auto" && places.length <= FEW)) return new Set(groups.map((group) => group.id));
  if (state.open === "auto" || state.open === "-") return new Set();
  return new Set(state.open.split(","));
}

function noun(group) {
  return !isOutside(group) ? "service" : group.kind === "Node" ? "node" : "address";
}

function plural(group) {
  return noun(group) === "address" ? "addresses" : `${noun(group)}s`;
}

function dotsOf(group, width) {
  const perRow = Math.floor((width - 26) / DOTS.pitch);
  const shown = group.places.slice(0, DOTS.most);
  const square = (at) => `M${(at % perRow) * DOTS.pitch} ${Math.floor(at / perRow) * DOTS.pitch}h${DOTS.size}v${DOTS.size}h-${DOTS.size}z`;
  const path = (wanted) => shown.map((one, at) => (fails(one) === wanted ? square(at) : "")).join("");
  const fails = (one) => one.in.some((edge) => edge.failed > 0) || one.out.some((edge) => edge.failed > 0);
  const rows = Math.ceil(shown.length / perRow);
  return makeSvg("svg", { class: `dots ${group.kind}`, width: width - 26, height: rows * DOTS.pitch, "aria-hidden": "true" }, [
    makeSvg("path", { d: path(false) }), makeSvg("path", { class: "failing", d: path(true) }),
  ]);
}

export class Overview {
  constructor(host, actions) {
    this.actions = actions;
    this.stage = new Stage(host, "Overview: arrow keys move, plus and minus zoom, 0 shows everything, Tab goes from box to box",
      (line) => actions.select(line ? line.edge.id : ""));
    this.stage.onResize = () => this.model && this.show(this.model, this.base, this.seen);
    this.note = make("p", null, { class: "note", "aria-live": "polite" });
    this.by = make("select", null, { id: "group" });
    this.by.addEventListener("change", () => actions.group(this.by.value));
    this.tools = make("div", null, { class: "tools" }, [
      make("label", "Group by ", {}, [this.by]), button("Open all", () => update({ open: "*", at: "" })), button("Close all", () => update({ open: "-", at: "" })),
      button("Fit", () => this.stage.fit(), { title: "Show everything (0)" }),
    ]);
    this.stage.host.before(make("div", null, { class: "bar-above" }, [this.note, this.tools]));
    this.pointed = "";
  }

  /* `seen` are the edges and places that pass the filters, `base` the model whose edges arrange everything. */
  show(model, base, seen) {
    Object.assign(this, { model, base, seen });
    fillSelect(this.by, [["", "namespace"], ...labelKeys(model.places.values(), model.label).map((key) => [key, key])], model.label);
    const shown = new Set(seen.places);
    const groups = [...model.groups.values()]
      .map((group) => ({ ...group, places: isFiltered(state) ? group.places.filter((one) => shown.has(one)) : group.places }))
      .filter((group) => group.places.length);
    this.open = openGroups(groups, seen.places);
    const edges = (base || model).edges;
    const arranging = isFiltered(state) ? edges.filter((edge) => shown.has(model.places.get(edge.source)) && shown.has(model.places.get(edge.destination))) : edges;
    const size = { width: this.stage.host.clientWidth, height: this.stage.host.clientHeight };
    this.layout = layoutOverview(groups, this.open, arranging, size);
    this.stage.bounds = this.layout.bounds;
    this.pairs = joinEdges(seen.edges, (one) => (this.open.has(one.group) ? one.id : one.group));
    for (const pair of this.pairs) {
      pair.fromGroup = pair.edges[0].from.group;
      pair.toGroup = pair.edges[0].to.group;
    }
    this.boxes = new Map();
    this.stage.ground.replaceChildren();
    const elements = groups.flatMap((group) => (this.open.has(group.id) ? this.area(group) : [this.card(group)]));
    const focused = document.activeElement?.dataset?.id;
    this.stage.layer.replaceChildren(...elements);
    if (focused) this.boxes.get(focused)?.focus({ preventScroll: true });
    this.stage.settle();
    this.mark();
  }

  keep(element, id) {
    place(element, this.layout.boxes.get(id));
    return this.listen(element, id);
  }

  listen(element, id) {
    element.dataset.id = id;
    this.boxes.set(id, element);
    for (const [event, on] of [["pointerenter", id], ["pointerleave", ""], ["focus", id], ["blur", ""]]) {
      element.addEventListener(event, () => {
        if (this.pointed === on) return;
        this.pointed = on;
        if (event === "focus" && element.matches(":focus-visible")) this.stage.motion.reveal(this.layout.boxes.get(id));
        this.mark();
      });
    }
    return element;
  }

  card(group) {
    const box = this.layout.boxes.get(group.id);
    const touching = [...new Set(group.places.flatMap((one) => [...one.in, ...one.out]))];
    const total = sumOf(touching);
    const facts = `${counted(group.places.length, noun(group), plural(group))} · ${short(total.attempts)}`;
    const card = button(null, () => this.toggle(group.id), {
      class: `group ${group.kind}`, "aria-expanded": "false",
      "aria-label": `${group.name}: ${facts} connects${total.failed ? `, ${short(total.failed)} failed` : ""}. Opens to its services`,
    });
    const meta = make("span", total.failed || box.w < SMALL ? facts : `${facts} connects`, { class: "meta" });
    if (total.failed) meta.append(" · ", make("b", `${short(total.failed)} failed`));
    card.append(make("span", group.name, { class: "name" }), meta, dotsOf(group, box.w));
    return this.keep(card, group.id);
  }

  area(group) {
    const box = this.layout.boxes.get(group.id);
    const head = button(null, () => this.toggle(group.id), { class: "area-head", "aria-expanded": "true", "aria-label": `${group.name}: close` });
    head.append(make("span", group.name, { class: "name" }), make("span", "–", { class: "fold", "aria-hidden": "true" }));
    const inner = this.layout.inner.get(group.id).boxes;
    const hidden = group.places.length - inner.size;
    const area = make("div", null, { class: `area ${group.kind}`, "data-id": group.id });
    if (hidden > 0) area.append(make("p", `${hidden} more: the ${MOST_OPEN} with failed and most connects are drawn, the table has all`, { class: "hidden-places" }));
    place(area, box);
    this.stage.ground.append(area);
    const lines = linesOf(group.name, box.w - 60, 13.5, 600);
    place(head, { x: box.x + 8, y: box.y + 6, w: box.w - 16, h: 8 + 18 * lines });
    this.listen(head, group.id);
    const cards = group.places.filter((one) => inner.has(one.id)).map((one) => this.service(one, namesSpace(group)));
    return [head, ...cards];
  }

  service(one, space) {
    const failed = one.in.reduce((sum, edge) => sum + edge.failed, 0);
    const card = button(null, () => this.actions.select(one.id), {
      class: `place ${one.kind}${failed ? " failing" : ""}`, "aria-label": `${one.kind} ${one.title}${failed ? ", connects to it failed" : ""}`,
    });
    card.append(make("span", one.name, { class: "name" }));
    if (space) card.append(make("span", one.namespace, { class: "space" }));
    card.addEventListener("dblclick", () => this.actions.focus(one.id));
    return this.keep(card, one.id);
  }

  toggle(id) {
    const open = new Set(this.open);
    if (open.has(id)) open.delete(id);
    else open.add(id);
    const everything = [...open].filter((one) => this.model.groups.has(one)).sort();
    this.boxes.get(id)?.blur();
    update({ open: everything.join(",") || "-", select: open.has(id) ? id : "", at: "" });
    this.boxes.get(id)?.focus({ preventScroll: true });
    const box = this.layout.boxes.get(id);
    if (box) this.stage.motion.reveal(box);
  }

  isLit(pair, id) {
    if (!id) return false;
    const open = this.open.has(id);
    return pair.from === id || pair.to === id || pair.id === id || (open && (pair.fromGroup === id || pair.toGroup === id))
      || (id.startsWith("edge:") && pair.edges.some((edge) => edge.id === id));
  }

  /* Which lines are drawn: those of the box that is pointed at or chosen, then failed and changed ones, then the strongest. */
  mark() {
    const lit = this.pointed || state.select;
    const weight = (pair) => (pair.change ? 1e15 : 0) + (pair.failed ? 1e12 : 0) + pair.attempts;
    const sorted = this.pairs.filter((pair) => pair.from !== pair.to).sort((a, b) => weight(b) - weight(a) || (a.id < b.id ? -1 : 1));
    const drawn = sorted.filter((pair, at) => at < MOST_LINES || this.isLit(pair, lit));
    const lines = linesFor(this.layout, drawn);
    for (const line of lines) {
      line.lit = this.isLit(line.edge, lit);
      line.title = `${this.nameOf(line.edge.from)} → ${this.nameOf(line.edge.to)}: ${counted(line.edge.attempts, "attempt")}${line.edge.failed ? `, ${short(line.edge.failed)} failed` : ""}`;
    }
    this.stage.setLines(lines, Boolean(this.model.changes));
    const near = new Set(lines.filter((line) => line.lit).flatMap((line) => [line.edge.from, line.edge.to]));
    const known = lit && (near.size > 0 || this.layout.boxes.has(lit));
    for (const [id, element] of this.boxes) {
      element.classList.toggle("faded", Boolean(known && this.layout.boxes.has(id) && id !== lit && !near.has(id) && !element.matches(".area-head")));
      element.classList.toggle("chosen", id === state.select);
    }
    this.note.textContent = sorted.length > MOST_LINES
      ? `${MOST_LINES} of ${short(sorted.length)} lines: failed and strongest first. Point at a box to see all of its own.` : "";
  }

  nameOf(id) {
    return this.model.places.get(id)?.title || this.model.groups.get(id)?.name || id;
  }
}
