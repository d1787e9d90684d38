/* Moving and zooming a stage by pointer, wheel, two fingers and keys. */

import { perFrame } from "./dom.js";

const KEYS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
const NARROW = 560; // stages that are scrolled downwards only
const SLACK = 4; // pixels that a click may move

export class PanZoom {
  /* `onMove(view)` is called once per frame in which the view {x, y, k} changed; `onRest` when it has come to rest. */
  constructor(host, onMove, onRest, { least = 0.1, most = 4 } = {}) {
    Object.assign(this, { host, least, most, view: { x: 0, y: 0, k: 1 }, pointers: new Map(), moved: 0, timer: 0 });
    this.redraw = perFrame(() => onMove(this.view));
    this.rest = onRest;
    host.addEventListener("pointerdown", (event) => this.down(event));
    host.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) host.addEventListener(end, (event) => this.up(event));
    host.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    host.addEventListener("keydown", (event) => this.key(event));
    host.addEventListener("click", (event) => {
      if (this.moved > SLACK) event.stopPropagation();
      this.moved = 0;
    }, true);
  }

  changed() {
    this.redraw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.rest(this.view), 250);
  }

  set(view) {
    this.view = view;
    this.redraw();
  }

  zoom(factor, x = this.host.clientWidth / 2, y = this.host.clientHeight / 2) {
    const { view } = this;
    const k = Math.max(this.least, Math.min(this.most, view.k * factor));
    const scale = k / view.k;
    this.view = { k, x: x - (x - view.x) * scale, y: y - (y - view.y) * scale };
    this.changed();
  }

  pan(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.changed();
  }

  /* Shows a box {x, y, w, h} as a whole if that leaves it readable, else as much as can be read around `middle`;
     without one, its beginning. */
  fit(box, middle = null, { readable = 0.74, largest = 1.2, side = 16, top = 8, bottom = 16 } = {}) {
    const [wide, high] = [this.host.clientWidth - 2 * side, this.host.clientHeight - top - bottom];
    const least = wide < NARROW ? Math.min(1, wide / box.w) : readable;
    const k = Math.max(least, Math.min(largest, wide / box.w, high / box.h));
    const start = (from, size, room, edge, centre) => {
      if (size * k <= room || centre === null) return edge + Math.max(0, (room - size * k) / 2) - from * k;
      return Math.max(edge + room - (from + size) * k, Math.min(edge - from * k, edge + room / 2 - centre * k));
    };
    this.set({
      k, x: start(box.x, box.w, wide, side, middle ? middle.x + middle.w / 2 : null),
      y: start(box.y, box.h, high, top, middle ? middle.y + middle.h / 2 : null),
    });
  }

  /* Moves so far that a box is in sight. */
  reveal(box) {
    const { x, y, k } = this.view;
    const shift = (low, high, size) => (low < 20 ? 20 - low : high > size - 20 ? Math.max(size - 20 - high, 20 - low) : 0);
    const dx = shift(box.x * k + x, (box.x + box.w) * k + x, this.host.clientWidth);
    const dy = shift(box.y * k + y, (box.y + box.h) * k + y, this.host.clientHeight);
    if (dx || dy) this.set({ k, x: x + dx, y: y + dy });
  }

  at(event) {
    const box = this.host.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button > 0) return;
    this.pointers.set(event.pointerId, this.at(event));
    this.moved = 0;
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    this.moved += Math.abs(dx) + Math.abs(dy);
    if (this.moved > SLACK && !this.host.hasPointerCapture(event.pointerId)) this.host.setPointerCapture(event.pointerId);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (other) {
      const far = (a) => Math.max(1, Math.hypot(a[0] - other[1][0], a[1] - other[1][1]));
      this.zoom(far(now) / far(before), other[1][0], other[1][1]);
    } else if (this.moved > SLACK) {
      this.pan(dx, dy);
    }
  }

  up(event) {
    this.pointers.delete(event.pointerId);
  }

  wheel(event) {
    event.preventDefault();
    if (event.shiftKey) return this.pan(-event.deltaY, 0);
    return this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...this.at(event));
  }

  key(event) {
    if (event.target !== this.host || event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) this.pan(...KEYS[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else return;
    event.preventDefault();
  }
}
