// The page of the API: text and tables from `/openapi.json`.

import "./site.js";

import { get } from "./api.js";
import { base, h } from "./dom.js";
import { problemBox } from "./parts.js";

const place = document.getElementById("description");
const schemaId = (name) => `schema-${name}`;
const lastOf = (reference) => reference.split("/").at(-1);
const HEADINGS = new Map([
  ["recommendations", "Recommendations"],
  ["movies", "Movies"],
  ["users", "Users"],
  ["original", "Endpoints of SparrowRecSys"],
  ["server", "Server"],
]);

/** Text with `code` in back-ticks. */
function prose(text) {
  return text.split("`").map((part, k) => (k % 2 === 1 ? h("code", {}, part) : part));
}

/** The object itself, or the component that it refers to. */
function resolved(document, object) {
  if (typeof object.$ref !== "string") return object;
  const [kind, name] = object.$ref.split("/").slice(-2);
  return document.components[kind][name];
}

/** The type of a schema in words, with links to the schemas that have names. */
function type(schema) {
  if (schema.$ref) {
    const name = lastOf(schema.$ref);
    return [h("a", { href: `#${schemaId(name)}` }, name)];
  }
  if (schema.type === "array") return ["list of ", ...(schema.items ? type(schema.items) : ["anything"])];
  if (schema.oneOf ?? schema.anyOf) return (schema.oneOf ?? schema.anyOf).flatMap((one, k) => [k > 0 ? " or " : "", ...type(one)]);
  return [[schema.type ?? "anything"].flat().join(" or ")];
}

/** The other constraints of a schema. */
function limits(schema) {
  const notes = [];
  if (schema.enum) notes.push(["one of ", ...schema.enum.flatMap((value, k) => [k > 0 ? ", " : "", h("code", {}, value)])]);
  if (schema.default !== undefined) notes.push(["default ", h("code", {}, String(schema.default))]);
  if (schema.minimum !== undefined && schema.maximum !== undefined) notes.push([`${schema.minimum} to ${schema.maximum}`]);
  else if (schema.minimum !== undefined) notes.push([`at least ${schema.minimum}`]);
  else if (schema.maximum !== undefined) notes.push([`at most ${schema.maximum}`]);
  if (schema.maxLength !== undefined) notes.push([`at most ${schema.maxLength} characters`]);
  if (schema.maxItems !== undefined) notes.push([`at most ${schema.maxItems} items`]);
  return notes.flatMap((note, k) => [k > 0 ? "; " : "", ...note]);
}

/** A sentence without its full stop, so that more can follow. */
const open = (text) => text.replace(/\.$/u, "");

function meaning(description, schema) {
  const more = limits(schema);
  if (!description) return more;
  return more.length === 0 ? prose(description) : [...prose(open(description)), " (", ...more, ")."];
}

function table(caption, head, rows) {
  return h(
    "div",
    { class: "sideways" },
    h(
      "table",
      { class: "standing" },
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell))))),
    ),
  );
}

function name(text, note) {
  return [h("code", {}, text), note && h("span", { class: "quiet" }, note)];
}

function parameters(document, operation, path) {
  const all = (operation.parameters ?? []).map((one) => resolved(document, one));
  if (all.length === 0) return null;
  const rows = all.map((one) => [name(one.name, one.in === "path" ? "in the path" : one.required ? "required" : null), type(one.schema), meaning(one.description ?? one.schema.description, one.schema)]);
  return table(`Parameters of ${path}`, ["Parameter", "Type", "Meaning"], rows);
}

/** The fields of an object, those of nested objects as `outer.inner`; a list's items as `list[].inner`. */
function fields(schema, before = "") {
  return Object.entries(schema.properties ?? {}).flatMap(([field, inner]) => {
    const required = schema.required?.includes(field) ? null : "not always";
    const rest = inner.items ? fields(inner.items, `${before}${field}[].`) : fields(inner, `${before}${field}.`);
    return [[name(`${before}${field}`, required), type(inner), meaning(inner.description, inner)], ...rest];
  });
}

function answers(document, operation, path) {
  const all = Object.entries(operation.responses).map(([status, answer]) => [status, resolved(document, answer)]);
  const rows = all.map(([status, answer]) => {
    const content = Object.entries(answer.content ?? {});
    return [h("code", {}, status), content.flatMap(([media, { schema }], k) => [k > 0 ? ", " : "", ...(schema ? type(schema) : [media])]), prose(answer.description)];
  });
  return h("details", {}, h("summary", {}, "Answers"), table(`Answers of ${path}`, ["Status", "Content", "Meaning"], rows));
}

function body(operation, path) {
  const schema = operation.requestBody?.content["application/json"].schema;
  return schema && table(`Request body of ${path}`, ["Field of the body", "Type", "Meaning"], fields(schema));
}

function endpoint(document, path, method, operation) {
  const needs = method !== "get" || (operation.parameters ?? []).some((one) => resolved(document, one).required);
  return [
    h("h3", { id: `operation-${operation.operationId}`, "data-path": path }, h("code", { class: "api__method" }, method.toUpperCase()), h("code", {}, path)),
    h("p", {}, ...prose(operation.summary ?? ""), " ", ...prose(operation.description ?? ""), !needs && [" ", h("a", { href: base + path }, "Open it"), "."]),
    parameters(document, operation, path),
    body(operation, path),
    answers(document, operation, path),
  ];
}

function page(document) {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => [path, method, operation]));
  const byTag = (document.tags ?? []).map((tag) => [tag, operations.filter(([, , operation]) => operation.tags?.includes(tag.name))]);
  const heading = (tag) => HEADINGS.get(tag.name) ?? tag.name;
  return [
    h("p", {}, ...prose(document.info.description)),
    h(
      "nav",
      { "aria-label": "Contents" },
      h("ul", { class: "chips", role: "list" }, ...[...byTag.map(([tag]) => [`tag-${tag.name}`, heading(tag)]), ["schemas", "Schemas"]].map(([id, text]) => h("li", {}, h("a", { class: "chip", href: `#${id}` }, text)))),
    ),
    ...byTag.map(([tag, members]) =>
      h(
        "section",
        { "aria-labelledby": `tag-${tag.name}` },
        h("h2", { id: `tag-${tag.name}` }, heading(tag)),
        tag.description && h("p", {}, ...prose(tag.description)),
        ...members.flatMap(([path, method, operation]) => endpoint(document, path, method, operation)),
      ),
    ),
    h(
      "section",
      { "aria-labelledby": "schemas" },
      h("h2", { id: "schemas" }, "Schemas"),
      ...Object.entries(document.components.schemas).flatMap(([title, schema]) => {
        const rows = fields(schema.items && !schema.properties ? schema.items : schema);
        return [
          h("h3", { id: schemaId(title) }, title),
          h("p", {}, ...prose(schema.description ?? ""), !schema.properties && [" A ", ...type(schema), "."]),
          rows.length > 0 && table(`Fields of ${title}`, ["Field", "Type", "Meaning"], rows),
        ];
      }),
    ),
  ];
}

async function show() {
  try {
    const description = await get("/openapi.json");
    place.replaceChildren(...page(description).filter(Boolean).flat());
    // The element of the fragment did not exist when the browser looked for it.
    if (location.hash !== "") document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    place.replaceChildren(problemBox(error, show));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

show();
