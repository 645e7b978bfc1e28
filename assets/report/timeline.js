/** The timeline: one lane per task, zoomed and panned by mouse, touch and keys. */
/* global durationText */
import { el, grouped } from './dom.js';

const LANE = 24;
const AXIS = 22;
const MARGIN = 8;
/** Entries a pixel from which on they are counted instead of drawn one by one. */
const DENSE = 1.5;

/** Colours of the kinds of events, for light and dark. */
export const COLOURS = {
  syscall: ['#3b7dd8', '#6aa3f0'],
  buffer: ['#8fb8e8', '#3f6ea5'],
  signal: ['#d64545', '#ff7b72'],
  switch: ['#9a8cc9', '#8677c4'],
  trap: ['#2a9d8f', '#4cc4b4'],
  exit: ['#222222', '#f0f0f0'],
  mixed: ['#a0a7b0', '#6b7480'],
};

export const KINDS = {
  syscall: 'system call',
  buffer: 'buffered or patched calls',
  signal: 'signal',
  switch: 'switch of tasks',
  trap: 'trapped instruction',
  exit: 'exit',
  mixed: 'several',
};

const dark = matchMedia('(prefers-color-scheme: dark)');

export class TimelineView {
  /**
   * @param timeline tasks, names, frames, duration
   * @param columns as of unpackTimeline
   * @param marks `{ frame, label }` of marked places @param onChoose called with the selected entry
   */
  constructor(timeline, columns, marks, onChoose) {
    Object.assign(this, { timeline, columns, marks, onChoose });
    this.byTime = false;
    this.chosen = 0;
    this.canvas = el('canvas', {
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'timeline',
      'aria-label':
        'Timeline of tasks and events. Left and right select an event, plus and minus zoom, 0 shows all.',
    });
    this.tip = el('div', { class: 'tip', hidden: true });
    this.said = el('p', { class: 'quiet', 'aria-live': 'polite' });
    this.box = el('div', { class: 'lanes' }, this.canvas, this.tip);
    this.element = el('div', {}, this.tools(), this.box, this.legend(), this.said);
    this.from = 0;
    this.to = 1;
    this.fit();
    this.listen();
    this.say();
  }

  tools() {
    const button = (text, label, action) =>
      el('button', { type: 'button', 'aria-label': label, title: label, onclick: action }, text);
    const unit = button('by time', 'Spread by recorded time instead of frames', () => {
      this.byTime = !this.byTime;
      unit.textContent = this.byTime ? 'by frame' : 'by time';
      this.fit();
    });
    return el(
      'div',
      { class: 'tools' },
      button('+', 'Zoom in', () => this.zoom(0.5)),
      button('\u2212', 'Zoom out', () => this.zoom(2)),
      button('\u2190', 'Earlier', () => this.pan(-0.3)),
      button('\u2192', 'Later', () => this.pan(0.3)),
      button('all', 'Show all', () => this.fit()),
      unit,
      el('span', { class: 'quiet' }, 'Ctrl + wheel zooms, dragging moves'),
    );
  }

  legend() {
    const used = [...new Set(this.timeline.names.map(({ category }) => category))];
    const swatch = (kind) => `--swatch: light-dark(${COLOURS[kind][0]}, ${COLOURS[kind][1]})`;
    return el(
      'div',
      { class: 'legend' },
      ...used.map((kind) => el('span', { style: swatch(kind) }, KINDS[kind])),
    );
  }

  /** Where an entry is on the axis. */
  at(index) {
    const { count, first, time } = this.columns;
    if (index >= count) return this.byTime ? this.timeline.duration : this.timeline.frames + 1;
    return this.byTime ? time[index] : first[index];
  }

  fit() {
    this.from = this.at(0);
    this.to = this.at(this.columns.count);
    if (this.to <= this.from) this.to = this.from + 1;
    this.draw();
  }

  /** @param factor below 1 shows less. @param around place on the axis that stays */
  zoom(factor, around = (this.from + this.to) / 2) {
    const begin = this.at(0);
    const end = Math.max(begin + 1e-6, this.at(this.columns.count));
    const least = this.byTime ? (end - begin) / 1e6 : 4;
    const span = Math.min(end - begin, Math.max(least, (this.to - this.from) * factor));
    const part = (around - this.from) / (this.to - this.from);
    this.show(around - part * span, span);
  }

  pan(part) {
    this.show(this.from + part * (this.to - this.from), this.to - this.from);
  }

  show(from, span) {
    const begin = this.at(0);
    const end = this.at(this.columns.count);
    this.from = Math.max(begin, Math.min(from, end - span));
    this.to = this.from + span;
    this.draw();
  }

  x(value) {
    return MARGIN + ((value - this.from) / (this.to - this.from)) * (this.width - 2 * MARGIN);
  }

  value(x) {
    return this.from + ((x - MARGIN) / (this.width - 2 * MARGIN)) * (this.to - this.from);
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.paint();
    });
  }

  paint() {
    const { canvas, timeline } = this;
    const ratio = devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    if (this.width === 0) return;
    const height = AXIS + timeline.tasks.length * LANE + 4;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.font = '12px system-ui, sans-serif';
    this.paintAxis(context, colour, height);
    this.paintEntries(context);
    this.paintNames(context, colour);
    this.paintMarks(context, colour, height);
  }

  paintAxis(context, colour, height) {
    const span = this.to - this.from;
    const rough = span / Math.max(2, this.width / 110);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
    const size = this.byTime ? step : Math.max(1, Math.round(step));
    context.fillStyle = colour('--quiet');
    context.strokeStyle = colour('--line');
    context.textBaseline = 'middle';
    for (let value = Math.ceil(this.from / size) * size; value <= this.to; value += size) {
      const x = Math.round(this.x(value)) + 0.5;
      context.beginPath();
      context.moveTo(x, AXIS - 4);
      context.lineTo(x, height);
      context.stroke();
      const text = this.byTime ? axisTime(value, size) : grouped(Math.round(value));
      context.textAlign = x > this.width - 40 ? 'right' : 'center';
      context.fillText(text, Math.max(x, 14), AXIS / 2);
    }
  }

  /** Whether more entries are shown than there are pixels. */
  isDense(begin) {
    const end = this.entryAt(this.to);
    return end - begin > this.width * DENSE;
  }

  /**
   * For each pixel and lane a bar, whose height is the number of events and whose colour that of
   * most of them; signals and exits are always visible.
   */
  paintDense(context, begin, palette) {
    const { columns, timeline } = this;
    const lanes = timeline.tasks.length;
    const pixels = Math.ceil(this.width) + 1;
    const counts = new Uint32Array(lanes * pixels);
    const kinds = new Map();
    const notable = [];
    for (let index = begin; index < columns.count && this.at(index) <= this.to; index++) {
      const task = columns.task[index];
      const { category } = timeline.names[columns.name[index]];
      const x = Math.max(0, Math.min(pixels - 1, Math.round(this.x(this.at(index)))));
      if (category === 'signal' || category === 'exit') notable.push({ x, task, name: columns.name[index] });
      const cell = task * pixels + x;
      counts[cell]++;
      const of = kinds.get(cell) ?? kinds.set(cell, new Map()).get(cell);
      of.set(category, (of.get(category) ?? 0) + 1);
    }
    const most = counts.reduce((high, count) => Math.max(high, count), 1);
    const colourOf = new Map(timeline.names.map(({ category }, name) => [category, palette[name]]));
    for (const [cell, of] of kinds) {
      const [kind] = [...of].reduce((best, each) => (each[1] > best[1] ? each : best));
      const height = Math.max(3, Math.round((LANE - 6) * Math.sqrt(counts[cell] / most)));
      const bottom = AXIS + Math.floor(cell / pixels) * LANE + LANE - 3;
      context.fillStyle = colourOf.get(kind);
      context.fillRect(cell % pixels, bottom - height, 1, height);
    }
    for (const { x, task, name } of notable) {
      context.fillStyle = palette[name];
      context.fillRect(x - 1, AXIS + task * LANE + 3, 3, LANE - 6);
    }
  }

  paintEntries(context) {
    const { columns, timeline } = this;
    const shade = dark.matches ? 1 : 0;
    const palette = timeline.names.map(({ category }) => COLOURS[category][shade]);
    if (this.isDense(Math.max(0, this.entryAt(this.from))))
      return this.paintDense(context, Math.max(0, this.entryAt(this.from)), palette);
    const last = new Float64Array(timeline.tasks.length).fill(-Infinity);
    const begin = Math.max(0, this.entryAt(this.from));
    for (let index = begin; index < columns.count && this.at(index) <= this.to; index++) {
      const task = columns.task[index];
      const kind = timeline.names[columns.name[index]].category;
      const left = Math.max(this.x(this.at(index)), MARGIN - 4);
      const right = Math.min(this.x(this.at(index + 1)), this.width);
      const notable = kind === 'signal' || kind === 'exit';
      // Entries in the pixel that was painted last are skipped, except important ones.
      if (right - last[task] < 0.75 && !notable) continue;
      last[task] = right;
      context.fillStyle = palette[columns.name[index]];
      const width = Math.max(notable ? 3 : 1, right - left - (right - left > 4 ? 1 : 0));
      context.fillRect(left, AXIS + task * LANE + 3, width, LANE - 6);
    }
  }

  paintNames(context, colour) {
    context.textAlign = 'left';
    this.timeline.tasks.forEach(({ tid, program, parent }, index) => {
      const name = program.split('/').pop();
      const text = `${tid} ${name}${parent === null ? '' : ` (of ${parent})`}`;
      const y = AXIS + index * LANE + LANE / 2;
      context.globalAlpha = 0.82;
      context.fillStyle = colour('--card');
      context.fillRect(2, y - 8, context.measureText(text).width + 8, 16);
      context.globalAlpha = 1;
      context.fillStyle = colour('--ink');
      context.fillText(text, 6, y);
    });
  }

  paintMarks(context, colour, height) {
    const line = (index, name, width) => {
      const x = this.x(this.at(index));
      context.strokeStyle = colour(name);
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x, AXIS - 8);
      context.lineTo(x, height);
      context.stroke();
      context.lineWidth = 1;
    };
    for (const { frame } of this.marks) line(this.entryOfFrame(frame), '--failed', 2);
    line(this.chosen, '--accent', 2);
  }

  /** Index of the entry at a place of the axis. */
  entryAt(value) {
    let low = 0;
    let high = this.columns.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.at(middle) <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  entryOfFrame(frame) {
    const { first, count } = this.columns;
    let index = count - 1;
    while (index > 0 && first[index] > frame) index--;
    return index;
  }

  /** The entry under the pointer, in its lane. */
  entryUnder(event) {
    const box = this.canvas.getBoundingClientRect();
    const lane = Math.floor((event.clientY - box.top - AXIS) / LANE);
    const value = this.value(event.clientX - box.left);
    const near = this.entryAt(value);
    if (this.columns.task[near] === lane) return near;
    const reach = ((this.to - this.from) / this.width) * 6;
    for (let step = 1; step < 400; step++) {
      for (const index of [near - step, near + step]) {
        if (index < 0 || index >= this.columns.count) continue;
        if (this.columns.task[index] === lane && Math.abs(this.at(index) - value) < reach) return index;
      }
    }
    return near;
  }

  describe(index) {
    const { first, time, task, name, count } = this.columns;
    const next = index + 1 < count ? first[index + 1] : this.timeline.frames + 1;
    const frames =
      next - first[index] > 1 ? `frames ${first[index]} to ${next - 1}` : `frame ${first[index]}`;
    const { tid } = this.timeline.tasks[task[index]];
    const call = this.columns.calls.get(first[index]);
    const what = call ?? this.timeline.names[name[index]].text;
    return `${frames}, task ${tid}: ${what}, ${durationText(time[index])}`;
  }

  choose(index) {
    this.chosen = Math.max(0, Math.min(this.columns.count - 1, index));
    const at = this.at(this.chosen);
    if (at < this.from || at > this.to) this.show(at - (this.to - this.from) / 2, this.to - this.from);
    this.say();
    this.draw();
    this.onChoose(this.chosen);
  }

  say() {
    this.said.textContent = this.columns.count > 0 ? this.describe(this.chosen) : 'No events.';
  }

  listen() {
    const { canvas, tip } = this;
    let drag = null;
    canvas.addEventListener('keydown', (event) => this.key(event));
    canvas.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const x = event.clientX - canvas.getBoundingClientRect().left;
        this.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.value(x));
      },
      { passive: false },
    );
    canvas.addEventListener('pointerdown', (event) => {
      drag = { x: event.clientX, from: this.from, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (drag) {
        const moved = event.clientX - drag.x;
        if (Math.abs(moved) > 3) drag.moved = true;
        if (drag.moved)
          this.show(drag.from - (moved / this.width) * (this.to - this.from), this.to - this.from);
      }
      this.hover(event);
    });
    canvas.addEventListener('pointerup', (event) => {
      if (drag && !drag.moved) this.choose(this.entryUnder(event));
      drag = null;
    });
    canvas.addEventListener('pointerleave', () => (tip.hidden = true));
    canvas.addEventListener('dblclick', (event) =>
      this.zoom(0.25, this.value(event.clientX - canvas.getBoundingClientRect().left)),
    );
    new ResizeObserver(() => this.draw()).observe(this.box);
    dark.addEventListener('change', () => this.draw());
  }

  hover(event) {
    const { tip, box } = this;
    const bounds = box.getBoundingClientRect();
    tip.hidden = false;
    tip.textContent = this.describe(this.entryUnder(event));
    const x = event.clientX - bounds.left;
    const left = Math.max(4, Math.min(x + 12, bounds.width - tip.offsetWidth - 6));
    tip.style.left = `${left}px`;
    tip.style.top = `${event.clientY - bounds.top + box.scrollTop + 14}px`;
  }

  key(event) {
    const actions = {
      ArrowLeft: () => this.choose(this.chosen - 1),
      ArrowRight: () => this.choose(this.chosen + 1),
      Home: () => this.choose(0),
      End: () => this.choose(this.columns.count - 1),
      '+': () => this.zoom(0.5, this.at(this.chosen)),
      '=': () => this.zoom(0.5, this.at(this.chosen)),
      '-': () => this.zoom(2, this.at(this.chosen)),
      0: () => this.fit(),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }
}

/** A time with as many digits as the step of the axis needs. */
function axisTime(value, step) {
  if (step >= 1) return `${Math.round(value)} s`;
  if (step >= 0.001) return `${+(value * 1000).toFixed(0)} ms`;
  return `${+(value * 1e6).toFixed(0)} us`;
}
