// Requests to the server's API. Every failure is a `Problem`.

import { base } from "./dom.js";

/** A failed request: the fields of the server's problem document if there is one. */
export class Problem extends Error {
  constructor({ title, detail, status, parameter, allowed, nearest }) {
    super(title);
    this.title = title;
    this.detail = detail ?? "";
    this.status = status ?? 0;
    /** The query parameter that is wrong, the allowed values, and the most similar of these. */
    this.parameter = parameter ?? "";
    this.allowed = Array.isArray(allowed) ? allowed : [];
    this.nearest = nearest ?? "";
  }
}

let unauthorized = false;
let askForKey;

/** Calls `work` when a request needs a key, also if it already did. */
export function onUnauthorized(work) {
  askForKey = work;
  if (unauthorized) work();
}

async function problemOf(response) {
  if (response.status === 401 && !response.url.endsWith("/v1/session")) {
    unauthorized = true;
    askForKey?.();
  }
  try {
    const body = await response.json();
    if (typeof body?.title === "string") {
      return new Problem({ ...body, status: response.status });
    }
  } catch {
    // Not a problem document: a proxy in between may have answered.
  }
  return new Problem({
    title: "The server could not answer",
    detail: `It replied with status ${response.status}.`,
    status: response.status,
  });
}

/**
 * Gets JSON. Parameters that are null, undefined or empty are left out; those of a list are repeated.
 * Throws a Problem, or an AbortError when `signal` fired.
 */
export async function get(path, parameters = {}, signal = undefined) {
  const url = new URL(base + path, location.origin);
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") url.searchParams.append(name, String(one));
    }
  }
  let response;
  try {
    response = await fetch(url, { headers: { accept: "application/json" }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The server did not answer", detail: "Is it still running? Try again in a moment." });
  }
  if (!response.ok) throw await problemOf(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The answer is incomplete", detail: "Try again in a moment." });
  }
}

/** Sends JSON, or nothing, and gets JSON. Throws a Problem. */
export async function send(method, path, body = undefined) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem({ title: "The server did not answer", detail: "Is it still running? Try again in a moment." });
  }
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

/**
 * Runs one request after another of the same kind; a newer one cancels the older, so that a slow early
 * answer can never overwrite a later one. Resolves to undefined for a cancelled request.
 */
export function latest() {
  let controller;
  return async (work) => {
    controller?.abort();
    const mine = new AbortController();
    controller = mine;
    try {
      const result = await work(mine.signal);
      return mine.signal.aborted ? undefined : result;
    } catch (error) {
      if (mine.signal.aborted || error.name === "AbortError") return undefined;
      throw error;
    }
  };
}

let modelList;

/** `/v1/models`, requested once per page. */
export function models() {
  modelList ??= get("/v1/models");
  return modelList;
}

/** The same, requested again: the state of models changes while a page is open. */
export function modelsNow() {
  modelList = get("/v1/models");
  return modelList;
}

/** Whether the server has poster pictures; false if it does not answer. */
export async function hasPosters() {
  try {
    return (await models()).posters === true;
  } catch {
    return false;
  }
}
