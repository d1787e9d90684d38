/* Draws the map: `drawMap(container, data, onSelect)`. Names come from the cluster and go to the canvas as text only. */
"use strict";

const LARGE = 300;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function state(edge) {
  if (edge.failed > 0) return edge.established > 0 ? "some" : "bad";
  return "ok";
}

function elementsOf(data) {
  const elements = [];
  const namespaces = new Set(data.services.map((one) => one.namespace).filter(Boolean));
  for (const namespace of namespaces) {
    elements.push({ data: { id: `namespace/${namespace}`, label: namespace }, classes: "group", selectable: false });
  }
  for (const one of data.services) {
    const label = one.name.length > 34 ? `${one.name.slice(0, 32)}…` : one.name;
    const node = { id: one.id, label, kind: one.kind, width: Math.max(64, label.length * 7.1 + 26) };
    if (one.namespace) node.parent = `namespace/${one.namespace}`;
    elements.push({ data: node, classes: one.kind });
  }
  data.edges.forEach((one, index) => {
    const width = Math.min(8, 1.4 + 1.5 * Math.log10(1 + one.established));
    elements.push({
      data: { id: `edge/${index}`, source: one.source, target: one.destination, index, width, label: `:${one.port}` },
      classes: state(one),
    });
  });
  return elements;
}

function styleOf(large) {
  const kinds = ["Service", "Workload", "External", "Node", "Unresolved"];
  const line = (name) => ({ "line-color": colour(name), "target-arrow-color": colour(name) });
  return [
    { selector: "node[width]", style: {
      label: "data(label)", width: "data(width)", height: 32, shape: "round-rectangle", color: colour("ink"),
      "background-color": colour("card"), "border-width": 1.5, "text-valign": "center", "text-halign": "center",
      "font-size": 12, "font-family": "system-ui, DejaVu Sans, sans-serif", "min-zoomed-font-size": 6,
    } },
    ...kinds.map((kind) => ({ selector: `.${kind}`, style: { "border-color": colour(kind) } })),
    { selector: ".External, .Node, .Unresolved", style: { "corner-radius": 16, "font-size": 11 } },
    { selector: ".Unresolved", style: { "border-style": "dashed" } },
    { selector: ".group", style: {
      label: "data(label)", shape: "round-rectangle", "background-color": colour("group"), "border-color": colour("line"), "border-width": 1,
      color: colour("soft"), "text-valign": "top", "text-halign": "center", "text-margin-y": -5, padding: 22,
      "compound-sizing-wrt-labels": "exclude",
      "font-size": 12,
    } },
    { selector: "edge", style: {
      width: "data(width)", "curve-style": "bezier", "target-arrow-shape": "triangle", "arrow-scale": 0.9, opacity: 0.85,
      ...line("edge"), "font-size": 10, color: colour("soft"), "min-zoomed-font-size": 7, label: "data(label)",
      "text-background-color": colour("paper"), "text-background-opacity": 0.9, "text-background-padding": 2,
    } },
    { selector: "edge.some", style: line("some") },
    { selector: "edge.bad", style: { ...line("bad"), "line-style": "dashed", width: 1.8 } },
    // Thousands of lines: straight ones without labels or arrows are drawn ten times as fast.
    ...(large ? [{ selector: "edge", style: { "curve-style": "haystack", label: "", opacity: 0.35 } }] : []),
    ...kinds.map((kind) => ({ selector: `.${kind}.afar`, style: { "background-color": colour(kind), "background-opacity": 0.35, "border-width": 2.5 } })),
    { selector: ".afar", style: { label: "" } },
    { selector: ".afar.named", style: {
      label: "data(label)", "min-zoomed-font-size": 0, "text-background-color": colour("card"), "text-background-opacity": 0.85,
      "text-background-padding": 6, "text-background-shape": "round-rectangle", "z-index": 10,
    } },
    { selector: ".faded", style: { opacity: 0.14 } },
    { selector: "node:selected", style: { "border-width": 3 } },
    { selector: "edge:selected", style: { ...line("accent"), opacity: 1 } },
  ];
}

/* From afar a name is too small to read: those of the most connected are written large where there is room. */
const AFAR = 0.75;

function nameFromAfar(graph) {
  const zoom = graph.zoom();
  const afar = zoom < AFAR;
  graph.batch(() => {
    graph.nodes(".group").style("font-size", Math.max(12, 13 / zoom));
    const nodes = graph.nodes().not(".group");
    nodes.removeClass("named");
    nodes.removeStyle("font-size");
    nodes.toggleClass("afar", afar);
    if (!afar) return;
    const taken = graph.nodes(".group").map((group) => {
      const { x1, x2, y1 } = group.renderedBoundingBox({ includeLabels: false });
      const half = group.data("label").length * 4;
      return { x1: (x1 + x2) / 2 - half, x2: (x1 + x2) / 2 + half, y1: y1 - 18, y2: y1 };
    });
    const wanted = nodes.not(".faded").sort((a, b) => b.selected() - a.selected() || b.degree() - a.degree());
    wanted.slice(0, 120).forEach((node) => {
      const { x, y } = node.renderedPosition();
      const half = node.data("label").length * 3.4;
      const box = { x1: x - half, x2: x + half, y1: y - 8, y2: y + 8 };
      if (taken.some((one) => one.x1 < box.x2 && box.x1 < one.x2 && one.y1 < box.y2 && box.y1 < one.y2)) return;
      taken.push(box);
      node.addClass("named");
    });
    graph.nodes(".named").style("font-size", 11 / zoom);
  });
}

function fitted(graph, elements, padding) {
  graph.fit(elements, padding);
  if (graph.zoom() > 1.3) {
    graph.zoom(1.3);
    graph.center(elements);
  }
}

function drawMap(container, data, onSelect) {
  const large = data.services.length > LARGE;
  const graph = cytoscape({
    container, elements: elementsOf(data), style: styleOf(large), minZoom: 0.03, maxZoom: 2.5,
    autounselectify: false, boxSelectionEnabled: false, textureOnViewport: large, hideEdgesOnViewport: large,
  });
  arrange(graph);
  fitted(graph, undefined, 50);
  const soon = (work) => {
    let later = 0;
    return () => {
      cancelAnimationFrame(later);
      later = requestAnimationFrame(() => graph.destroyed() || work());
    };
  };
  graph.on("zoom", soon(() => nameFromAfar(graph)));
  graph.on("resize", soon(() => {
    fitted(graph, undefined, 50);
    nameFromAfar(graph);
  }));
  nameFromAfar(graph);
  graph.on("tap", (event) => {
    if (event.target === graph) onSelect(null);
    else if (event.target.isEdge()) onSelect({ edge: data.edges[event.target.data("index")] });
    else if (!event.target.hasClass("group")) onSelect({ service: event.target.id() });
  });
  return graph;
}

/* Only these stay bright, and come near enough to be read; without any, everything, as it was before. */
function showOnly(graph, elements) {
  graph.elements().removeClass("faded");
  if (elements) {
    graph.elements().not(elements.union(elements.ancestors())).not(".group").addClass("faded");
    if (elements.nonempty() && graph.zoom() < AFAR) {
      graph.scratch("before", graph.scratch("before") || { zoom: graph.zoom(), pan: { ...graph.pan() } });
      fitted(graph, elements, 90);
    }
  } else if (graph.scratch("before")) {
    graph.viewport(graph.scratch("before"));
    graph.removeScratch("before");
  }
  nameFromAfar(graph);
}
