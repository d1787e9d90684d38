/* One box that finds services, workloads, pods, addresses, ports and namespaces; with arrow keys, Enter and Escape. */

import { byId, make } from "./dom.js";

const SHOWN = 12;

/* entries [{text, kind, found, act}] of a model; built at the first use. */
function entriesOf(model, actions) {
  const entries = [];
  const add = (text, kind, act, detail = "") => entries.push({ text, lower: text.toLowerCase(), kind, act, detail });
  for (const [name, places] of model.spaces) add(name, "namespace", () => actions.open(`namespace/${name}`, ""), `${places} services`);
  for (const group of model.groups.values()) {
    if (group.kind === "Label") add(group.name, model.label, () => actions.open(group.id, model.label), `${group.places.length} services`);
  }
  const ports = new Map();
  for (const edge of model.edges) ports.set(edge.port, (ports.get(edge.port) || 0) + 1);
  for (const one of model.places.values()) {
    const kind = one.kind === "External" || one.kind === "Unresolved" ? "address" : one.kind.toLowerCase();
    add(one.title, kind, () => actions.focus(one.id), one.kind === "Unresolved" ? "unresolved" : one.kind === "External" ? "outside the cluster" : "");
    for (const workload of one.workloads) {
      if (workload.name !== one.name) add(`${workload.namespace}/${workload.name}`, workload.kind.toLowerCase(), () => actions.focus(one.id), `behind ${one.title}`);
    }
    for (const address of one.addresses || []) add(address, "address", () => actions.focus(one.id), one.title);
  }
  for (const [name, one] of model.pods) add(name, "pod", () => actions.focus(one.id), `of ${one.title}`);
  for (const [port, edges] of ports) add(`:${port}`, "port", () => actions.filter({ port }), `${edges} edges`);
  return entries;
}

function rankOf(entry, wanted) {
  const at = entry.lower.indexOf(wanted);
  if (at < 0) return -1;
  const name = entry.lower.slice(entry.lower.lastIndexOf("/") + 1);
  if (entry.lower === wanted || name === wanted || entry.lower === `:${wanted}`) return 0;
  if (name.startsWith(wanted)) return 1;
  return /[a-z0-9]/.test(entry.lower[at - 1] || "") ? 3 : 2;
}

export class Search {
  constructor(actions) {
    Object.assign(this, { actions, input: byId("find"), list: byId("found"), found: [], at: -1, entries: null });
    this.input.addEventListener("input", () => this.search());
    this.input.addEventListener("focus", () => this.search());
    this.input.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    this.input.addEventListener("keydown", (event) => this.key(event));
    addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName || "");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.input.focus();
      this.input.select();
    });
  }

  use(model) {
    this.model = model;
    this.entries = null;
  }

  search() {
    const wanted = this.input.value.trim().toLowerCase();
    if (!this.model || !wanted) return this.close();
    this.entries ||= entriesOf(this.model, this.actions);
    const ranked = this.entries.map((entry) => [rankOf(entry, wanted), entry]).filter(([rank]) => rank >= 0);
    ranked.sort((a, b) => a[0] - b[0] || a[1].text.length - b[1].text.length || (a[1].text < b[1].text ? -1 : 1));
    this.found = ranked.slice(0, SHOWN).map(([, entry]) => entry);
    this.at = this.found.length ? 0 : -1;
    this.draw(ranked.length);
    return undefined;
  }

  draw(all) {
    const options = this.found.map((entry, at) => {
      const option = make("li", null, { role: "option", id: `found-${at}`, "aria-selected": String(at === this.at) });
      option.append(make("span", entry.text, { class: "name" }), make("span", [entry.kind, entry.detail].filter(Boolean).join(", "), { class: "kind" }));
      option.addEventListener("mousedown", (event) => {
        event.preventDefault();
        this.take(entry);
      });
      return option;
    });
    if (!options.length) options.push(make("li", "Nothing of that name in this window.", { class: "none" }));
    else if (all > options.length) options.push(make("li", `and ${all - options.length} more: type on`, { class: "none" }));
    this.list.replaceChildren(...options);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.input.setAttribute("aria-activedescendant", this.at >= 0 ? `found-${this.at}` : "");
  }

  key(event) {
    if (event.key === "Escape") {
      this.input.value = "";
      this.close();
      this.input.blur();
      event.stopPropagation();
    } else if (event.key === "Enter" && this.at >= 0) {
      this.take(this.found[this.at]);
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && this.found.length) {
      this.at = (this.at + (event.key === "ArrowDown" ? 1 : this.found.length - 1)) % this.found.length;
      this.list.querySelectorAll("[role=option]").forEach((option, at) => option.setAttribute("aria-selected", String(at === this.at)));
      this.input.setAttribute("aria-activedescendant", `found-${this.at}`);
    } else return;
    event.preventDefault();
  }

  take(entry) {
    this.input.value = "";
    this.close();
    this.input.blur();
    entry.act();
  }

  close() {
    this.list.hidden = true;
    this.found = [];
    this.at = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}
