/** The list of events: only visible rows exist in the document. */
/* global durationText */
import { el } from './dom.js';

const ROW = 22;
/** Browsers cap the height of an element; beyond this the list shows a window around the selected event. */
const MOST_ROWS = 600_000;

export class EventList {
  /** @param onChoose called with the selected row */
  constructor(timeline, columns, onChoose) {
    Object.assign(this, { timeline, columns, onChoose });
    this.chosen = 0;
    this.rows = Math.min(columns.count, MOST_ROWS);
    this.space = el('div', { style: `height: ${this.rows * ROW}px` });
    this.element = el(
      'div',
      { class: 'events', tabindex: 0, role: 'listbox', 'aria-label': 'Events', onscroll: () => this.draw() },
      this.space,
    );
    this.element.addEventListener('keydown', (event) => this.key(event));
    this.shown = [];
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    const from = Math.max(0, Math.floor(this.element.scrollTop / ROW) - 4);
    const to = Math.min(this.rows, from + Math.ceil(this.element.clientHeight / ROW) + 8);
    for (const row of this.shown) row.remove();
    this.shown = [];
    for (let index = from; index < to; index++) {
      const row = el(
        'div',
        {
          class: index === this.chosen ? 'row chosen' : 'row',
          style: `top: ${index * ROW}px`,
          role: 'option',
          id: `event-${this.id()}-${index}`,
          'aria-selected': index === this.chosen ? 'true' : 'false',
          'aria-setsize': this.rows,
          'aria-posinset': index + 1,
          onclick: () => this.onChoose(index),
        },
        this.text(index),
      );
      this.shown.push(row);
    }
    this.element.append(...this.shown);
    const chosen = this.shown.find((row) => row.classList.contains('chosen'));
    if (chosen) this.element.setAttribute('aria-activedescendant', chosen.id);
    else this.element.removeAttribute('aria-activedescendant');
  }

  id() {
    EventList.made = (EventList.made ?? 0) + (this.number === undefined ? 1 : 0);
    this.number ??= EventList.made;
    return this.number;
  }

  text(index) {
    const { first, time, task, name } = this.columns;
    const { tid } = this.timeline.tasks[task[index]];
    const event = this.timeline.names[name[index]].text;
    const call = this.columns.calls.get(first[index]);
    const what = call ? `${event.replace(/^\S+/, '').trim()} ${call}` : event;
    return `${String(first[index]).padStart(8)}  ${String(tid).padStart(7)}  ${durationText(time[index]).padStart(11)}  ${what}`;
  }

  /** The next row after the selected one, wrapping around, whose text contains this; -1 if none does. */
  find(text, step) {
    const wanted = text.toLowerCase();
    for (let away = 1; away <= this.rows; away++) {
      const index = (this.chosen + away * step + this.rows * 2) % this.rows;
      if (this.text(index).toLowerCase().includes(wanted)) return index;
    }
    return -1;
  }

  /** Shows a row as chosen, and scrolls it into view. */
  reveal(index) {
    this.chosen = index;
    const { element } = this;
    const top = index * ROW;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW > element.scrollTop + element.clientHeight)
      element.scrollTop = top + ROW - element.clientHeight;
    this.draw();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 1);
    const moves = {
      ArrowUp: -1,
      ArrowDown: 1,
      PageUp: -page,
      PageDown: page,
      Home: -Infinity,
      End: Infinity,
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    this.onChoose(Math.max(0, Math.min(this.rows - 1, this.chosen + move)));
  }
}
