// Elements, made without markup: no text becomes anything but text.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const element = (name, attributes, ...children) =>
  filled(document.createElement(name), attributes, children);

export const drawn = (name, attributes, ...children) =>
  filled(document.createElementNS(SVG, name), attributes, children);

/** Shows a text in an element, or hides the element. */
export function note(id, text) {
  const place = $(id);
  place.textContent = text ?? "";
  place.hidden = !text;
}

/** The state of a card: a word for it, and the colour of its dot. */
export function state(card, text, mood = "") {
  $(`${card}-state`).textContent = text;
  $(`${card}-dot`).className = `dot ${mood}`;
}

/** Milliseconds as somebody reads them. */
export function milliseconds(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

export const count = (number, one, more) => `${number} ${number === 1 ? one : more}`;
