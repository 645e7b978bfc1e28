/** The list of traces, filters, and what is open. */
import { run } from './data.js';
import { detail } from './detail.js';
/* global durationText */
import { el, grouped } from './dom.js';

const STATES = {
  passed: ['\u2713', 'passed'],
  flaky: ['\u21bb', 'flaky'],
  failed: ['\u2717', 'failed'],
  error: ['!', 'error'],
  skipped: ['\u2013', 'skipped'],
};

const shownState = (result) => (result.flaky ? 'flaky' : result.state);
/** Failures first, then by name. */
const RANK = ['failed', 'error', 'flaky', 'skipped', 'passed'];

/** From so many on, rows that are out of sight are not laid out. */
const MANY = 200;

const list = el('ul', { class: 'traces' });
const none = el('p', { class: 'quiet', role: 'status' });
const filter = { state: null, text: '' };
const items = [];

function item(result, index) {
  const state = shownState(result);
  const [icon, word] = STATES[state];
  const why = result.headline;
  const panel = el('div', { class: 'detail', id: `detail-${index}`, hidden: true });
  const numbers = [
    ...(result.frames > 0 ? [`${grouped(result.frames)} frames`] : []),
    result.cached ? 'cached' : durationText(result.seconds),
  ];
  const button = el(
    'button',
    {
      class: 'trace',
      type: 'button',
      id: `trace-${index}`,
      'aria-expanded': 'false',
      'aria-controls': panel.id,
      onclick: () => toggle(entry, panel.hidden),
    },
    el('span', { class: `state ${state}` }, el('span', { 'aria-hidden': 'true' }, `${icon} `), word),
    el('span', { class: 'name' }, result.name, why ? el('span', { class: 'why' }, why) : null),
    el('span', { class: 'numbers' }, numbers.join(', ')),
  );
  const element = el('li', {}, button, panel);
  const entry = { result, state, element, button, panel, filled: false };
  return entry;
}

function toggle(entry, open) {
  const { panel, button, element, result } = entry;
  if (open && !entry.filled) {
    entry.filled = true;
    panel.append(...detail(result));
  }
  panel.hidden = !open;
  element.classList.toggle('open', open);
  button.setAttribute('aria-expanded', String(open));
  if (open) history.replaceState(null, '', anchorOf(result));
}

/** A name can be any text, also half a surrogate pair, which has no percent-encoding. */
function anchorOf({ name }) {
  return `#${encodeURIComponent(name.replace(/\p{Surrogate}/gu, '\ufffd'))}`;
}

function applyFilter() {
  const text = filter.text.toLowerCase();
  let shown = 0;
  for (const { result, state, element } of items) {
    const told = `${result.name}\n${result.headline}\n${result.summary?.commandLine.join(' ') ?? ''}`;
    const hit = (filter.state === null || filter.state === state) && told.toLowerCase().includes(text);
    element.hidden = !hit;
    if (hit) shown++;
  }
  none.textContent = shown === 0 ? 'No trace is like that.' : '';
}

function filters() {
  const counts = new Map();
  for (const { state } of items) counts.set(state, (counts.get(state) ?? 0) + 1);
  const buttons = [];
  const button = (state, text) => {
    const made = el(
      'button',
      {
        type: 'button',
        'aria-pressed': String(state === null),
        class: state ?? '',
        onclick: () => {
          filter.state = state;
          for (const other of buttons) other.setAttribute('aria-pressed', String(other === made));
          applyFilter();
        },
      },
      text,
    );
    buttons.push(made);
    return made;
  };
  const search = el('input', {
    type: 'search',
    placeholder: 'Name, problem or command',
    'aria-label': 'Only traces whose name, problem or command contains',
    oninput: () => {
      filter.text = search.value;
      applyFilter();
    },
  });
  return el(
    'div',
    { class: 'filters', role: 'group', 'aria-label': 'Filter' },
    button(null, `all ${items.length}`),
    ...RANK.filter((state) => counts.has(state)).map((state) =>
      button(state, `${STATES[state][0]} ${counts.get(state)} ${STATES[state][1]}`),
    ),
    search,
  );
}

/** Up and down go from trace to trace. */
function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined || !event.target.classList.contains('trace')) return;
  const visible = items.filter(({ element }) => !element.hidden);
  const at = visible.findIndex(({ button }) => button === event.target);
  const next = visible[at + step];
  if (!next) return;
  event.preventDefault();
  next.button.focus();
}

function headerOf() {
  const { host, parallel, unchanged } = run;
  const when = new Date(run.started);
  return [
    el('h1', {}, 'Replayed traces'),
    el('p', {}, `${run.target}, ${when.toLocaleString()}, ${durationText(run.seconds)}`),
    el(
      'p',
      { class: 'quiet' },
      [
        `Revenant ${run.revenant} on ${host.name} (${host.processor}, ${host.cores} cores)`,
        ...(parallel > 0 ? [`${parallel} at a time`] : ['by a queue']),
        ...(run.strict ? ['skipped traces are failures'] : []),
        ...(unchanged > 0 ? [`${unchanged} unchanged traces were left out`] : []),
      ].join(', '),
    ),
  ];
}

function start() {
  const order = run.results
    .map((result, index) => ({ result, index }))
    .sort(
      (a, b) => RANK.indexOf(shownState(a.result)) - RANK.indexOf(shownState(b.result)) || a.index - b.index,
    );
  items.push(...order.map(({ result, index }) => item(result, index)));
  list.append(...items.map(({ element }) => element));
  list.classList.toggle('many', items.length > MANY);
  list.addEventListener('keydown', moveFocus);
  document.querySelector('header').append(...headerOf());
  document.querySelector('main').append(filters(), none, list);
  const wanted = items.find(({ result }) => anchorOf(result) === location.hash);
  const bad = items.filter(({ state }) => state === 'failed' || state === 'error');
  const open = wanted ?? (bad.length === 1 ? bad[0] : null);
  if (open) toggle(open, true);
  if (wanted) wanted.element.scrollIntoView();
}

start();
