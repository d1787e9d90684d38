/* A stage: boxes are elements on a layer that is moved and scaled, lines on a canvas below it, areas below these. */

import { make, perFrame } from "./dom.js";
import { drawLines, lineAt } from "./edge_canvas.js";
import { PanZoom } from "./pan_zoom.js";
import { state, update } from "./url_state.js";

export class Stage {
  /* `chosen(line)` is called for a click on a line, `null` for one beside everything; `label` names it for screen readers. */
  constructor(host, label, chosen) {
    this.canvas = make("canvas", null, { class: "lines", "aria-hidden": "true" });
    this.ground = make("div", null, { class: "layer", "aria-hidden": "true" }); // areas: below the lines
    this.layer = make("div", null, { class: "layer" });
    this.host = make("div", null, { class: "stage", tabindex: "0", role: "group", "aria-label": label }, [this.ground, this.canvas, this.layer]);
    host.append(this.host);
    this.lines = [];
    this.hovered = null;
    this.comparing = false;
    this.bounds = { x: 0, y: 0, w: 1, h: 1 };
    this.middle = null;
    this.motion = new PanZoom(this.host, () => this.paint(), (view) => this.remember(view), { least: 0.15, most: 3 });
    this.repaint = perFrame(() => this.paint());
    this.host.addEventListener("click", (event) => {
      if (event.target !== this.host && event.target !== this.layer) return;
      chosen(this.lineBelow(event));
    });
    this.host.addEventListener("pointermove", (event) => this.hover(event));
    this.host.addEventListener("keydown", (event) => {
      if (event.key === "0" && event.target === this.host) this.fit();
    });
    new ResizeObserver(() => this.resized()).observe(this.host);
    this.size = "";
  }

  resized() {
    const size = `${this.host.clientWidth}x${this.host.clientHeight}`;
    if (!this.host.clientWidth || size === this.size) return;
    this.size = size;
    if (this.onResize) this.onResize();
    this.repaint();
  }

  lineBelow(event) {
    return lineAt(this.motion.view, this.lines, ...this.motion.at(event));
  }

  hover(event) {
    if (this.motion.pointers.size || event.pointerType === "touch") return;
    const onBox = event.target !== this.host && event.target !== this.layer;
    const line = onBox ? null : this.lineBelow(event);
    this.host.classList.toggle("pointing", Boolean(line));
    this.host.title = line ? line.title || "" : "";
  }

  paint() {
    const { x, y, k } = this.motion.view;
    for (const layer of [this.ground, this.layer]) layer.style.transform = `translate(${x}px, ${y}px) scale(${k})`;
    drawLines(this.canvas, this.motion.view, this.lines, this.comparing);
    document.body.dataset.lines = String(this.lines.length);
  }

  setLines(lines, comparing) {
    this.lines = lines;
    this.comparing = comparing;
    this.repaint();
  }

  fit() {
    this.motion.fit(this.bounds, this.middle);
    update({ at: "" }, true);
  }

  /* The place of the address bar, else everything. */
  settle() {
    this.size = `${this.host.clientWidth}x${this.host.clientHeight}`;
    const [x, y, k] = state.at.split(",").map(Number);
    if (state.at && [x, y, k].every(Number.isFinite) && k > 0) {
      this.motion.set({ k, x: this.host.clientWidth / 2 - x * k, y: this.host.clientHeight / 2 - y * k });
    } else {
      this.motion.fit(this.bounds, this.middle);
    }
    this.paint();
  }

  remember({ x, y, k }) {
    const middle = [(this.host.clientWidth / 2 - x) / k, (this.host.clientHeight / 2 - y) / k];
    update({ at: `${middle.map(Math.round).join(",")},${Math.round(k * 1000) / 1000}` }, true);
  }
}
