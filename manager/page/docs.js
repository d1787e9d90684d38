/* The API's document as a page: operations by tag, with parameters, bodies and answers. */

const SCHEMAS = "#/components/schemas/";

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

/* A part that is made when it is opened first: schemas refer to each other without end. */
function folded(summary, make) {
  const part = element("details", "", summary);
  part.addEventListener("toggle", () => { if (part.open && part.childElementCount === 1) part.append(...make()); });
  return part;
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.replace(SCHEMAS, "");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  if (schema.additionalProperties) return `map of ${typeOf(schema.additionalProperties)}`;
  return schema.type || "any";
}

function referred(schema) {
  const inner = schema.items || schema.additionalProperties || schema;
  return inner.$ref ? inner.$ref.replace(SCHEMAS, "") : "";
}

function members(all, name) {
  const schema = all[name];
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([member, one]) => {
    const text = `${member}${required.has(member) ? " (required)" : ""}: ${typeOf(one)}`;
    const inner = referred(one);
    return inner ? folded(element("summary", text), () => members(all, inner)) : element("div", "", element("code", text));
  });
  return rows.length ? rows : [element("p", "No members.")];
}

function schemaPart(all, label, content) {
  const schema = content?.["application/json"]?.schema;
  if (!schema) return element("p", label);
  const name = referred(schema);
  const summary = element("summary", `${label}: ${typeOf(schema)}`);
  return name ? folded(summary, () => members(all, name)) : element("p", `${label}: ${typeOf(schema)}`);
}

function parameterTable(parameters) {
  const rows = parameters.map((one) => element("tr", "",
    element("td", "", element("code", one.name)), element("td", one.in),
    element("td", `${one.schema.type}${one.required ? ", required" : ""}`), element("td", one.description || "")));
  return element("table", "", ...rows);
}

function operationPart(all, method, path, operation) {
  const name = element("span", method.toUpperCase());
  name.className = "method";
  const part = folded(element("summary", "", name, ` ${path}`), () => [
    element("p", operation.description || operation.summary || ""),
    parameterTable(operation.parameters || []),
    ...(operation.requestBody ? [schemaPart(all, "Body", operation.requestBody.content)] : []),
    ...Object.entries(operation.responses).map(([code, one]) => schemaPart(all, `${code} ${one.description}`, one.content)),
  ]);
  part.dataset.text = `${method} ${path} ${operation.operationId}`.toLowerCase();
  return part;
}

function show(api) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] || "";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationPart(api.components.schemas, method, path, operation));
    }
  }
  const sections = [...groups].map(([tag, parts]) => element("section", "", element("h2", tag), ...parts));
  document.getElementById("operations").replaceChildren(...sections);
}

function filter() {
  const wanted = document.getElementById("filter").value.trim().toLowerCase();
  const parts = [...document.querySelectorAll("main section > details")];
  for (const part of parts) part.hidden = !part.dataset.text.includes(wanted);
  for (const section of document.querySelectorAll("main section")) {
    section.hidden = [...section.querySelectorAll(":scope > details")].every((part) => part.hidden);
  }
  document.getElementById("count").textContent = `${parts.filter((part) => !part.hidden).length} operations`;
}

const answer = await fetch("/openapi.json");
show(await answer.json());
document.getElementById("filter").addEventListener("input", filter);
filter();
