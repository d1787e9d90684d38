/* The strip of windows: one bar each; choose one, or a second one to compare with. */

import { button, byId, count, make } from "./dom.js";
import { percent } from "./coverage.js";
import { state, update } from "./url_state.js";
import { totalsOf } from "./window_history.js";
import { windowText } from "./words.js";

const SHOWN = 60;
const HEIGHT = 30;

function textOf(id) {
  const one = totalsOf(id);
  if (!one) return windowText(id);
  const parts = [`${count(one.attempts)} attempts`, `${count(one.failed)} failed`, `recall ${one.recall === null ? "unknown" : percent(one.recall)}`, `${count(one.lost)} lost`];
  if (one.purpose) parts.unshift(`ordered for run ${one.purpose.run} (${one.purpose.kind})`);
  if (one.tags?.length) parts.unshift(one.tags.join(", "));
  if (one.unobserved) parts.push(`${one.unobserved} nodes not observed as a whole`);
  return `${windowText(id)}: ${parts.join(", ")}`;
}

export class TimeStrip {
  constructor(actions) {
    this.actions = actions;
    this.comparing = false;
    this.host = byId("strip");
    this.compare = button("Compare", () => this.toggle(), { id: "compare", "aria-pressed": "false" });
    this.bars = make("div", null, { class: "bars", role: "listbox", "aria-label": "Windows, the newest last", tabindex: "-1" });
    this.text = make("span", "", { class: "strip-text" });
    this.host.replaceChildren(this.text, this.bars, this.compare);
    this.bars.addEventListener("keydown", (event) => this.key(event));
  }

  toggle() {
    if (state.compare) return update({ compare: "", only: state.only.split(",").filter((one) => one !== "changed").join(",") });
    this.comparing = !this.comparing;
    this.compare.setAttribute("aria-pressed", String(this.comparing));
    return this.show(this.windows, this.current);
  }

  /* `windows` newest first, as the API lists them; `current` is the id of the one that is shown. */
  show(windows, current) {
    Object.assign(this, { windows, current });
    const shown = windows.slice(0, SHOWN).reverse();
    const most = Math.max(1, ...shown.map((id) => totalsOf(id)?.attempts || 0));
    const focused = this.bars.contains(document.activeElement) ? document.activeElement.dataset.window : "";
    const bars = shown.map((id) => this.bar(id, most));
    this.bars.replaceChildren(...bars);
    bars.find((one) => one.dataset.window === focused)?.focus();
    (bars.find((one) => one.dataset.window === current) || bars.at(-1))?.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.compare.textContent = state.compare ? "End comparison" : this.comparing ? "Choose the other window" : "Compare";
    this.compare.disabled = windows.length < 2 && !state.compare;
    this.text.textContent = state.compare ? `${windowText(current)} since ${windowText(state.compare)}` : windowText(current);
    this.host.hidden = !windows.length;
  }

  bar(id, most) {
    const totals = totalsOf(id);
    const bar = button(null, (event) => this.choose(id, event.shiftKey), {
      class: "bar", role: "option", title: textOf(id), "aria-label": textOf(id), "data-window": id,
      "aria-selected": String(id === this.current || id === state.compare), tabindex: id === this.current ? "0" : "-1",
    });
    bar.classList.toggle("current", id === this.current);
    bar.classList.toggle("compared", id === state.compare);
    bar.classList.toggle("unknown", !totals);
    bar.classList.toggle("ordered", Boolean(totals?.purpose));
    if (totals) {
      const high = (number) => `${Math.max(number ? 3 : 1, (HEIGHT * number) / most)}px`;
      const whole = make("i", null, { class: totals.unobserved ? "attempts part" : "attempts" });
      whole.style.height = high(totals.attempts);
      const failed = make("i", null, { class: "failures" });
      failed.style.height = totals.failed ? high(totals.failed) : "0px";
      bar.append(whole, failed);
      if (totals.lost) bar.append(make("i", null, { class: "losses" }));
    }
    return bar;
  }

  choose(id, second) {
    if ((this.comparing || second) && id !== this.current) {
      this.comparing = false;
      const [older, newer] = [id, this.current].sort();
      return update({ window: newer, compare: older, select: "" });
    }
    return update({ window: id, compare: "", select: state.select.startsWith("edge:") ? state.select : "" });
  }

  key(event) {
    const bars = [...this.bars.children];
    const at = bars.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (to === undefined || !bars[to]) return;
    event.preventDefault();
    bars[to].focus();
  }
}
