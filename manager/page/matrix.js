/* Matrix: who (rows) connects to whom (columns), ordered by namespace; blocks from afar, cells from near. */

import { absenceText, makeAbsence, unobservedNodes } from "./absence.js";
import { button, colour, count, counted, make, perFrame } from "./dom.js";
import { levelsOf } from "./layered_layout.js";
import { drawMatrix, EDGE } from "./matrix_drawing.js";
import { joinEdges } from "./map_model.js";
import { PanZoom } from "./pan_zoom.js";
import { state, update } from "./url_state.js";

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/* Places in the order of rows and columns: groups by their place in the flow, places by name. */
export function orderOf(groups, places, edges) {
  const weigh = ({ from, to, attempts }) => ({ from, to, weight: 1 + Math.log10(1 + attempts) });
  const between = joinEdges(edges, (one) => one.group).map(weigh);
  const level = levelsOf([...groups.keys()], between);
  const inside = levelsOf(places.map((one) => one.id), joinEdges(edges.filter((edge) => edge.from.group === edge.to.group), (one) => one.id).map(weigh));
  const outside = (id) => (id.startsWith("kind/") ? 1 : 0);
  return [...places].sort((a, b) => outside(a.group) - outside(b.group) || level.get(a.group) - level.get(b.group)
    || (a.group < b.group ? -1 : a.group > b.group ? 1 : 0) || Math.round(inside.get(a.id)) - Math.round(inside.get(b.id)) || (a.id < b.id ? -1 : 1));
}

export class Matrix {
  constructor(host, actions) {
    this.actions = actions;
    this.canvas = make("canvas", null, { class: "cells" });
    this.host = make("div", null, {
      class: "stage matrix", tabindex: "0", role: "application",
      "aria-label": "Matrix of who connects to whom: arrow keys go from cell to cell, Enter shows the cell, plus and minus zoom, 0 shows everything",
    }, [this.canvas]);
    this.note = make("p", null, { class: "note", "aria-live": "polite" });
    this.tools = make("div", null, { class: "tools" }, [
      button("+", () => this.motion.zoom(1.6), { "aria-label": "Zoom in" }), button("−", () => this.motion.zoom(1 / 1.6), { "aria-label": "Zoom out" }),
      button("Fit", () => this.fit(), { title: "Show everything (0)" }),
    ]);
    host.append(make("div", null, { class: "bar-above" }, [this.note, this.tools]), this.host);
    this.repaint = perFrame(() => this.paint());
    this.motion = new PanZoom(this.host, () => this.paint(), (view) => this.remember(view), { least: 0.05, most: 60 });
    this.cursor = null;
    this.host.addEventListener("pointermove", (event) => this.hover(event));
    this.host.addEventListener("click", (event) => this.choose(this.cellAt(event)));
    this.host.addEventListener("keydown", (event) => this.key(event), true);
    new ResizeObserver(() => this.model && this.repaint()).observe(this.host);
  }

  show(model, base, seen) {
    const again = this.model && this.order.length === seen.places.length;
    Object.assign(this, { model, seen });
    this.order = orderOf(model.groups, seen.places, (base && base !== model ? base.edges : seen.edges).filter((edge) => model.places.has(edge.source) && model.places.has(edge.destination)));
    this.index = new Map(this.order.map((one, at) => [one.id, at]));
    this.cells = new Map();
    const size = this.order.length;
    for (const edge of seen.edges) {
      const key = this.index.get(edge.from.id) * size + this.index.get(edge.to.id);
      const cell = this.cells.get(key);
      if (cell) {
        cell.edges.push(edge);
        cell.attempts += edge.attempts;
        cell.established += edge.established;
        cell.failed += edge.failed;
        cell.change ||= edge.change;
      } else {
        this.cells.set(key, { row: this.index.get(edge.from.id), column: this.index.get(edge.to.id), edges: [edge], attempts: edge.attempts, established: edge.established, failed: edge.failed, change: edge.change });
      }
    }
    this.spans = [];
    this.order.forEach((one, at) => {
      const last = this.spans.at(-1);
      if (last && last.id === one.group) last.end = at + 1;
      else this.spans.push({ id: one.group, name: model.groups.get(one.group).name, start: at, end: at + 1 });
    });
    const spanAt = new Int32Array(size);
    this.spans.forEach((span, number) => spanAt.fill(number, span.start, span.end));
    this.blocks = new Map();
    for (const cell of this.cells.values()) {
      const key = spanAt[cell.row] * this.spans.length + spanAt[cell.column];
      const block = this.blocks.get(key) || { from: this.spans[spanAt[cell.row]], to: this.spans[spanAt[cell.column]], cells: 0, failed: 0 };
      block.cells += 1;
      block.failed += cell.failed;
      this.blocks.set(key, block);
    }
    this.absence = makeAbsence(model.data);
    this.blind = this.order.map((one) => !this.absence.observed(one));
    this.say(null);
    if (!again) this.fit(Boolean(state.at));
    else this.repaint();
  }

  fit(remembered = false) {
    const [w, h] = [this.host.clientWidth, this.host.clientHeight];
    const [x, y, k] = state.at.split(",").map(Number);
    const cell = Math.min(26, (Math.min(w, h) - 16 - EDGE) / Math.max(1, this.order.length));
    if (remembered && k > 0) this.motion.set({ x: w / 2 - x * k, y: h / 2 - y * k, k });
    else this.motion.set({ x: EDGE, y: EDGE, k: cell });
    this.motion.least = Math.min(cell, 26) * 0.8;
    if (!remembered) update({ at: "" }, true);
    this.repaint();
  }

  remember({ x, y, k }) {
    update({ at: `${Math.round((this.host.clientWidth / 2 - x) / k)},${Math.round((this.host.clientHeight / 2 - y) / k)},${Math.round(k * 1000) / 1000}` }, true);
  }

  paint() {
    if (!this.model) return;
    const names = ["ink", "soft", "line", "card", "paper", "group", "accent", "bad", "some", "added", "removed", "changed", "edge"];
    drawMatrix(this.canvas, this, Object.fromEntries(names.map((name) => [name, colour(name)])));
  }

  cellAt(event) {
    const [x, y] = this.motion.at(event);
    const { view } = this.motion;
    const [column, row] = [Math.floor((x - view.x) / view.k), Math.floor((y - view.y) / view.k)];
    return row >= 0 && column >= 0 && row < this.order.length && column < this.order.length ? [row, column] : null;
  }

  hover(event) {
    if (this.motion.pointers.size) return;
    this.cursor = this.cellAt(event);
    this.say(this.cursor);
    this.repaint();
  }

  say(cell) {
    if (!cell) {
      this.note.textContent = `${counted(this.order.length, "row")} by ${counted(this.order.length, "column")}, ${counted(this.cells.size, "cell")} with connects. ${absenceOf(this.model.data, this.absence)}`;
      return;
    }
    const [from, to] = [this.order[cell[0]], this.order[cell[1]]];
    const found = this.cells.get(cell[0] * this.order.length + cell[1]);
    const text = found ? `${counted(found.attempts, "attempt")}${found.failed ? `, ${count(found.failed)} failed` : ""} on ${found.edges.map((edge) => `:${edge.port}`).join(" ")}` : absenceText(this.absence.reasons(from, to));
    this.note.textContent = `${from.title} → ${to.title}: ${text}`;
  }

  choose(cell) {
    if (!cell) return this.actions.select("");
    const found = this.cells.get(cell[0] * this.order.length + cell[1]);
    if (!found) return this.actions.select(`pair:${this.order[cell[0]].id}>${this.order[cell[1]].id}`);
    return this.actions.select(found.edges.length === 1 ? found.edges[0].id : `pair:${found.edges[0].source}>${found.edges[0].destination}`);
  }

  key(event) {
    if (MOVES[event.key] && this.order.length) {
      const [row, column] = this.cursor || [-1, -1];
      const within = (at) => Math.max(0, Math.min(this.order.length - 1, at));
      this.cursor = this.cursor ? [within(row + MOVES[event.key][0]), within(column + MOVES[event.key][1])] : [0, 0];
      const { k } = this.motion.view;
      const [x, y] = [this.cursor[1] * k + this.motion.view.x, this.cursor[0] * k + this.motion.view.y];
      const dx = x < EDGE ? EDGE - x : Math.min(0, this.host.clientWidth - 40 - k - x);
      const dy = y < EDGE ? EDGE - y : Math.min(0, this.host.clientHeight - 40 - k - y);
      if (dx || dy) this.motion.pan(dx, dy);
      this.say(this.cursor);
    } else if (event.key === "Enter") this.choose(this.cursor);
    else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const { k, x, y } = this.motion.view;
      const at = this.cursor ? [(this.cursor[1] + 0.5) * k + x, (this.cursor[0] + 0.5) * k + y] : [];
      this.motion.zoom(event.key === "-" ? 0.7 : 1 / 0.7, ...at);
    } else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.repaint();
  }
}

/* What an empty cell means in this window. */
export function absenceOf(data, absence = makeAbsence(data)) {
  if (absence.whole) return "Empty: not seen, and would have been.";
  const nodes = unobservedNodes(data).size;
  if (!nodes) return "Empty: not observed.";
  return `Empty: not seen, and would have been; shaded: not observed, on ${nodes} of ${counted(Object.keys(data.coverage).length, "node")}.`;
}
