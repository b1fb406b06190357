// What happened, when and on whose side, and how long answers took.

import { $, count, drawn, element, milliseconds } from "./dom";

const SIDES = { client: "You", edge: "Edge", upstream: "Agent" };
const LINES = 200; // more is nothing that anybody reads; the oldest go
const ANSWERS = 16; // as many as the plot has room for

export class Timeline {
  #course = null;
  #answers = [];

  constructor() {
    draw(this.#answers);
  }

  /** A new story; what is told of an older one from now on is left out. */
  begin(what) {
    const list = element("ol", { class: "events" });
    $("timeline-log").replaceChildren(list);
    $("timeline-what").textContent = what;
    const answered = (ms) => {
      this.#answers.push(ms);
      draw(this.#answers);
    };
    const course = new Course(list, () => this.#course === course, answered);
    this.#course = course;
    return course;
  }
}

class Course {
  constructor(list, isCurrent, answered) {
    this.list = list;
    this.isCurrent = isCurrent;
    /** So many milliseconds did an answer take. */
    this.answered = answered;
    this.start = performance.now();
  }

  now() {
    return performance.now() - this.start;
  }

  /** A line at its place in time; `at` in milliseconds of this story. Returns it, to be changed. */
  add(side, text, at = this.now(), mood = "") {
    const line = element(
      "li",
      { "data-side": side, "data-at": at, class: mood },
      element("span", { class: "at" }, milliseconds(Math.max(0, at))),
      element("span", { class: "side" }, SIDES[side]),
      element("span", { class: "what" }, text),
    );
    if (!this.isCurrent()) return line;
    const log = $("timeline-log");
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const later = [...this.list.children].find((other) => Number(other.dataset.at) > at);
    this.list.insertBefore(line, later ?? null);
    if (this.list.children.length > LINES) this.list.firstElementChild.remove();
    if (follows) log.scrollTop = log.scrollHeight;
    return line;
  }
}

/** Says something else in a line that is there. */
export function change(line, text) {
  line.querySelector(".what").textContent = text;
}

/** Milliseconds that the axis ends at: some round number above all. */
function top(most) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(most, 10)));
  return [1, 2, 2.5, 5, 10].map((times) => times * unit).find((end) => end >= most * 1.05) ?? 20 * unit;
}

function draw(all) {
  const answers = all.slice(-ANSWERS);
  const [width, height, left, bottom] = [400, 190, 58, 26];
  const end = answers.length > 0 ? top(Math.max(...answers)) : 1000;
  const y = (ms) => 10 + (height - 10 - bottom) * (1 - ms / end);
  const grid = [0, end / 2, end].flatMap((ms) => [
    drawn("line", { class: "grid", x1: left, x2: width, y1: y(ms), y2: y(ms) }),
    drawn("text", { class: "tick", x: left - 8, y: y(ms) + 4, "text-anchor": "end" }, milliseconds(ms)),
  ]);
  const step = (width - left) / ANSWERS;
  const bars = answers.map((ms, at) =>
    drawn(
      "rect",
      {
        class: at === answers.length - 1 ? "bar last" : "bar",
        x: left + at * step + 2,
        width: step - 4,
        y: y(ms),
        height: Math.max(1, y(0) - y(ms)),
        rx: 2,
      },
      drawn("title", {}, `Answer ${all.length - answers.length + at + 1}: ${milliseconds(ms)}`),
    ),
  );
  const axis = drawn("text", { class: "tick", x: width, y: height - 6, "text-anchor": "end" }, "the latest on the right");
  const told = tell(all);
  const plot = drawn(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Time to each answer. ${told}` },
    ...grid,
    ...bars,
    axis,
  );
  $("latency-plot").replaceChildren(plot);
  $("latency-text").textContent = `From the end of what was said to the first sound of the answer. ${told}`;
}

function tell(answers) {
  if (answers.length === 0) return "No answer yet.";
  const sorted = [...answers].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  const last = milliseconds(answers.at(-1));
  return `${count(answers.length, "answer", "answers")}: the last after ${last}, half of them within ${milliseconds(median)}.`;
}
