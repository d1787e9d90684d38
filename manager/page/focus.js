/* Focus: one service in the middle, its callers before it, its dependencies after it; or all that reach it (blast radius). */

import { button, count, counted, make, place, short } from "./dom.js";
import { layersOf, layoutFocus } from "./focus_layout.js";
import { Stage } from "./stage.js";
import { state, update } from "./url_state.js";
import { errnoText } from "./words.js";

const SUGGESTED = 12;

export class Focus {
  constructor(host, actions) {
    this.actions = actions;
    this.stage = new Stage(host, "Focus: arrow keys move, plus and minus zoom, 0 shows everything, Tab goes from box to box",
      (line) => actions.select(line ? line.edge.id : ""));
    this.stage.onResize = () => this.model && this.show(this.model, null, this.seen);
    this.hops = make("select", null, { "aria-label": "Hops" }, [1, 2, 3, 4].map((hop) => make("option", counted(hop, "hop"), { value: String(hop) })));
    this.hops.addEventListener("change", () => update({ hops: this.hops.value, at: "" }));
    this.blast = button("Blast radius", () => update({ mode: state.mode === "blast" ? "both" : "blast", at: "" }), { title: "Everything that reaches this service, directly or through others" });
    this.tools = make("div", null, { class: "tools" }, [this.hops, this.blast, button("Fit", () => this.stage.fit(), { title: "Show everything (0)" })]);
    this.note = make("p", null, { class: "note", "aria-live": "polite" });
    this.pick = make("div", null, { class: "pick" });
    this.stage.host.before(make("div", null, { class: "bar-above" }, [this.note, this.tools]));
    this.stage.host.append(this.pick);
    this.pointed = "";
  }

  show(model, _base, seen) {
    Object.assign(this, { model, seen });
    const middle = model.places.get(state.focus);
    this.pick.hidden = Boolean(middle);
    this.tools.hidden = !middle;
    this.stage.host.classList.toggle("empty", !middle);
    this.hops.value = state.hops;
    this.hops.disabled = state.mode === "blast";
    this.blast.setAttribute("aria-pressed", String(state.mode === "blast"));
    if (!middle) return this.suggest();
    const layers = layersOf(model, seen.edges, middle.id, Math.max(1, Math.min(4, Number(state.hops) || 1)), state.mode === "blast");
    this.layout = layoutFocus(model, layers, middle.id, { width: this.stage.host.clientWidth, all: state.more === "1" });
    this.stage.bounds = this.layout.bounds;
    this.stage.middle = this.layout.cards.find((card) => card.side === "middle").box;
    this.elements = new Map();
    const headings = this.layout.headings.map((one) => this.heading(one));
    this.stage.layer.replaceChildren(...headings, ...this.layout.cards.map((card) => this.card(card)));
    this.note.textContent = this.summary(layers, middle);
    this.stage.settle();
    this.mark();
    return undefined;
  }

  summary(layers, middle) {
    const all = layers.callers.flat();
    if (state.mode === "blast") {
      const spaces = new Set(all.map((one) => this.model.places.get(one.id).namespace)).size;
      return `${counted(all.length, "service")} in ${counted(spaces, "namespace")} reach ${middle.title}, ${count(layers.callers[0]?.length || 0)} directly`;
    }
    return "";
  }

  heading({ side, hop, count: many, x, y, w }) {
    const text = side === "middle" ? "" : side === "caller"
      ? hop === 1 ? `${counted(many, "caller")}` : `${count(many)} reach it in ${hop} hops`
      : hop === 1 ? `calls ${count(many)}` : `${count(many)} more in ${hop} hops`;
    const element = make("h3", text, { class: `layer-head ${side}` });
    place(element, { x, y, w, h: 24 });
    return element;
  }

  card({ key, id, side, box, member }) {
    if (member.more) {
      const more = button(`${count(member.more)} more`, () => update({ more: "1", at: "" }), { class: "place more" });
      place(more, box);
      return more;
    }
    const one = this.model.places.get(id);
    const middle = side === "middle";
    const card = button(null, () => (middle ? this.actions.select(id) : this.actions.focus(id)), {
      class: `place ${one.kind} ${side}${member.failed ? " failing" : ""}`, "data-id": id, "data-key": key,
    });
    card.append(make("span", one.name, { class: "name" }));
    if (one.namespace) card.append(make("span", one.namespace, { class: "space" }));
    if (middle) {
      card.append(make("span", one.pods ? counted(one.pods, "pod") : one.kind, { class: "meta" }));
    } else {
      card.append(make("span", this.facts(member), { class: "meta" }));
      if (member.failed) card.append(make("span", this.failure(member), { class: "failure" }));
    }
    card.setAttribute("aria-label", [one.title, ...[...card.children].slice(1).map((part) => part.textContent)].join(", "));
    place(card, box);
    this.elements.set(key, card);
    for (const [event, on] of [["pointerenter", key], ["pointerleave", ""], ["focus", key], ["blur", ""]]) {
      card.addEventListener(event, () => {
        this.pointed = on;
        if (event === "focus" && card.matches(":focus-visible")) this.stage.motion.reveal(box);
        this.mark();
      });
    }
    return card;
  }

  facts(member) {
    const ports = [...new Set(member.pairs.flatMap((pair) => pair.edges.map((edge) => edge.port)))];
    const shown = ports.length > 2 ? `${ports.length} ports` : ports.map((port) => `:${port}`).join(" ");
    return `${shown} · ${short(member.attempts)} connects`;
  }

  failure(member) {
    const edges = member.pairs.flatMap((pair) => pair.edges).filter((edge) => edge.failed);
    const errno = edges.find((edge) => edge.lastErrno)?.lastErrno;
    return `${short(member.failed)} failed${errno ? `: ${errnoText(errno).split(/[:(]/)[0].trim()}` : ""}`;
  }

  /* Lines of the card that is pointed at stand out, and all on the way from it to the middle. */
  mark() {
    const ways = new Set();
    const follow = (key) => {
      for (const line of this.layout.lines) {
        const [outer, inner] = line.from.startsWith("caller") ? [line.from, line.to] : [line.to, line.from];
        if (outer !== key || ways.has(line)) continue;
        ways.add(line);
        follow(inner);
      }
    };
    if (this.pointed) follow(this.pointed);
    for (const line of this.layout.lines) {
      line.lit = ways.has(line) || line.edge.id === state.select || line.edge.edges.some((edge) => edge.id === state.select);
      line.title = `${this.model.places.get(line.edge.from).title} → ${this.model.places.get(line.edge.to).title}: ${counted(line.edge.attempts, "attempt")}`;
    }
    for (const element of this.elements.values()) element.classList.toggle("chosen", element.dataset.id === state.select);
    this.stage.setLines(this.layout.lines, Boolean(this.model.changes));
  }

  /* Without a service: those to begin with. */
  suggest() {
    this.stage.layer.replaceChildren();
    this.stage.setLines([], false);
    this.note.textContent = "";
    const weigh = (one) => one.in.reduce((sum, edge) => sum + 1e6 * (edge.failed > 0) + 1, 0);
    const places = this.seen.places.filter((one) => one.in.length).map((one) => [one, weigh(one)]).sort((a, b) => b[1] - a[1]).slice(0, SUGGESTED);
    const items = places.map(([one]) => {
      const failing = one.in.filter((edge) => edge.failed).length;
      const item = button(null, () => this.actions.focus(one.id), { class: `place ${one.kind}${failing ? " failing" : ""}` });
      item.append(make("span", one.title, { class: "name" }), make("span", `${counted(one.in.length, "edge")} to it${failing ? `, ${failing} failing` : ""}`, { class: "meta" }));
      return make("li", null, {}, [item]);
    });
    this.pick.replaceChildren(
      make("h2", "Which service?"), make("p", "Find one above (press /), or begin with one that fails or that many call."), make("ul", null, {}, items),
    );
  }
}
