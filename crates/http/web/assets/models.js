// The ranking models and their state, as a table.

import { count, day, h, micros } from "./dom.js";
import { kindLabel, modelLabel, modelSentence, stateLabel } from "./reasons.js";

function cells(model) {
  const { answered, stoodIn, declined, failed } = model.requests;
  const others = [
    [stoodIn, "as a fallback"],
    [declined, "declined"],
    [failed, "failed"],
  ].filter(([number]) => number > 0);
  const since = model.since ? Date.parse(model.since) / 1000 : null;
  return [
    h("td", {}, kindLabel(model.kind), h("p", { class: "quiet small" }, modelSentence(model.kind))),
    h(
      "td",
      {},
      h("span", { class: `health health--${model.state}` }, stateLabel(model.state)),
      since !== null && h("span", { class: "quiet small", title: model.since }, " since ", day(since)),
      model.reason && h("p", { class: "small" }, model.reason),
    ),
    h("td", { class: "number" }, model.version ?? "–"),
    h("td", {}, model.fallback ? modelLabel(model.fallback) : "–"),
    h("td", { class: "number" }, count(answered), ...others.map(([number, word]) => h("span", { class: "quiet small" }, `${count(number)} ${word}`))),
    h("td", { class: "number" }, model.latency ? micros(model.latency.p50Micros) : "–"),
    h("td", { class: "number" }, model.latency ? micros(model.latency.p99Micros) : "–"),
  ];
}

/** Fills a table with the models of `/v1/models`. */
export function modelTable(table, models, defaultModel) {
  const head = ["Model", "Kind", "State", "Version", "Fallback", "Answers", "Median", "99th percentile"];
  table.replaceChildren(
    h("caption", { class: "hidden" }, "The ranking models of this server"),
    h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      {},
      ...models.map((model) =>
        h("tr", { "data-model": model.name }, h("th", { scope: "row" }, modelLabel(model.name), model.name === defaultModel && h("span", { class: "quiet small" }, "default")), ...cells(model)),
      ),
    ),
  );
}
