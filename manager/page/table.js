/* Table: the edges or services that pass the filters, sortable; rows in portions, so that 20,000 do not stop the page. */

import { button, byId, count, counted, make } from "./dom.js";
import { labelOf } from "./groups.js";
import { state, update } from "./url_state.js";
import { bothEndsText, errnoText } from "./words.js";

const PORTION = 500;

const EDGE_COLUMNS = [
  ["from", "From", (edge) => edge.from.title], ["to", "To", (edge) => edge.to.title], ["port", "Port", (edge) => Number(edge.port) || edge.port],
  ["attempts", "Attempts", (edge) => edge.attempts, true], ["established", "Established", (edge) => edge.established, true],
  ["failed", "Failed", (edge) => edge.failed, true], ["sent", "Bytes sent", (edge) => edge.volume?.sentBytes ?? null, true],
  ["received", "Bytes received", (edge) => edge.volume?.receivedBytes ?? null, true], ["error", "Last error", (edge) => (edge.lastErrno ? errnoText(edge.lastErrno) : "")],
  ["ends", "Both ends", (edge) => bothEndsText(edge.bothEnds)], ["change", "Change", (edge) => edge.change],
];
const SERVICE_COLUMNS = [
  ["name", "Name", (one) => one.name], ["namespace", "Namespace", (one) => one.namespace], ["kind", "Kind", (one) => one.kind],
  ["pods", "Pods", (one) => one.pods, true], ["workloads", "Workloads", (one) => one.workloads.map((w) => `${w.kind} ${w.name}`).join(", ")],
  ["callers", "Called by", (one) => new Set(one.in.map((edge) => edge.source)).size, true],
  ["calls", "Calls", (one) => new Set(one.out.map((edge) => edge.destination)).size, true],
  ["failing", "Failed connects to it", (one) => one.in.reduce((sum, edge) => sum + edge.failed, 0), true],
];

function sorted(items, columns) {
  const [name, down] = [state.sort.replace("-", ""), state.sort.startsWith("-")];
  const column = columns.find(([id]) => id === name);
  if (!column) return items;
  const value = (one) => column[2](one) ?? -1;
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
  return [...items].sort((a, b) => (down ? -1 : 1) * compare(value(a), value(b)));
}

export class Table {
  constructor(host, actions) {
    this.actions = actions;
    this.switches = make("div", null, { class: "switches", role: "group", "aria-label": "Rows" });
    this.tables = { edges: make("table", null, { id: "edges" }), services: make("table", null, { id: "services" }) };
    host.append(this.switches, this.tables.edges, this.tables.services);
  }

  show(model, _base, seen) {
    this.comparing = Boolean(model.changes);
    const names = [["edges", counted(seen.edges.length, "edge")], ["services", counted(seen.places.length, "service or address", "services and addresses")]];
    this.switches.replaceChildren(...names.map(([id, text]) => button(text, () => update({ rows: id, sort: "" }), { "aria-pressed": String(state.rows === id) })));
    const columns = EDGE_COLUMNS.filter(([id]) => id !== "change" || this.comparing);
    this.fill(this.tables.edges, "Who connects to whom", columns, seen.edges, (edge) => this.edgeRow(edge, columns), state.rows === "edges");
    const known = model.label ? [...SERVICE_COLUMNS, ["label", model.label, (one) => labelOf(one, model.label) ?? "–"]] : SERVICE_COLUMNS;
    this.fill(this.tables.services, "What is there", known, seen.places, (one) => this.serviceRow(one, known), state.rows === "services");
  }

  fill(table, caption, columns, items, rowOf, shown) {
    table.hidden = !shown;
    const chosen = shown ? sorted(items, columns) : items;
    const head = make("tr", null, {}, columns.map(([id, text, , numeric]) => this.headCell(id, text, numeric)));
    const body = make("tbody");
    const add = (from) => {
      body.append(...chosen.slice(from, from + PORTION).map(rowOf));
      if (from + PORTION >= chosen.length) return;
      const row = make("tr", null, { class: "more" });
      const cell = make("td", null, { colspan: columns.length });
      cell.append(button(`${count(Math.min(PORTION, chosen.length - from - PORTION))} more of ${count(chosen.length - from - PORTION)}`, () => {
        row.remove();
        add(from + PORTION);
      }));
      row.append(cell);
      body.append(row);
    };
    add(0);
    table.replaceChildren(make("caption", caption), make("thead", null, {}, [head]), body);
  }

  headCell(id, text, numeric) {
    const down = state.sort === `-${id}`;
    const order = state.sort === id ? "ascending" : down ? "descending" : "none";
    const next = numeric ? (down ? id : `-${id}`) : state.sort === id ? `-${id}` : id;
    const cell = make("th", null, { scope: "col", "aria-sort": order, class: numeric ? "number" : "" });
    cell.append(button(`${text}${order === "ascending" ? " ↑" : order === "descending" ? " ↓" : ""}`, () => {
      update({ sort: next });
      byId("view-table").querySelectorAll("table:not([hidden]) th button").forEach((one) => one.textContent.startsWith(text) && one.focus());
    }));
    return cell;
  }

  edgeRow(edge, columns) {
    const row = make("tr", null, {
      "data-id": edge.id, "data-source": edge.source, "data-destination": edge.destination, "data-port": edge.port, class: edge.change || (edge.failed ? edge.state : ""),
    });
    for (const [id, , value, numeric] of columns) {
      const shown = value(edge);
      const text = shown === null ? "–" : numeric ? count(shown) : shown;
      if (id === "from") row.append(make("td", null, {}, [button(text, () => this.actions.select(edge.id), { class: "link" })]));
      else row.append(make("td", text, { class: numeric ? "number" : id }));
    }
    return row;
  }

  serviceRow(one, columns) {
    const row = make("tr", null, { "data-id": one.id, "data-kind": one.kind });
    for (const [id, , value, numeric] of columns) {
      const text = numeric ? count(value(one)) : value(one);
      if (id === "name") row.append(make("td", null, {}, [button(text, () => this.actions.select(one.id), { class: "link" })]));
      else row.append(make("td", text, { class: numeric ? "number" : "" }));
    }
    return row;
  }
}
