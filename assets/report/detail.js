/** What is shown of one trace. */
import { run, streamText, unpackTimeline } from './data.js';
/* global durationText, paceText, sizeText */
import { el, facts, grouped, mono, row, table } from './dom.js';
import { EventList } from './events.js';
import { TimelineView } from './timeline.js';

/** The whole panel of a result. */
export function detail(result) {
  return [
    problems(result),
    questions(result),
    stacks(result),
    divergence(result),
    timeline(result),
    output('Standard output', result.stdout),
    output('Standard error', result.stderr),
    machine(result),
    log(result),
    command(result),
  ].flat();
}

function problems({ problems: list, state, divergence: report }) {
  return list
    .filter(({ kind }) => kind !== 'question')
    .map((problem) =>
      el(
        'div',
        { class: state === 'skipped' ? 'problem skip' : 'problem' },
        el('p', { class: 'wrap' }, problem.message),
        problem.expected === null ? null : compared(problem.expected, problem.found),
        problem.hint === null || report ? null : el('p', { class: 'quiet wrap' }, problem.hint),
      ),
    );
}

function compared(expected, found) {
  const side = (title, text) =>
    el('div', {}, el('h3', {}, title), el('pre', { class: 'wrap', tabindex: 0 }, text ?? ''));
  return el('div', { class: 'columns' }, side('Expected', expected), side('Found', found));
}

const ANSWERS = {
  passed: '\u2713 right',
  failed: '\u2717 wrong',
  error: '! no answer',
  unanswered: '! not evaluated',
};

function questions({ questions: list }) {
  if (list.length === 0) return [];
  const heads = ['', 'question', 'asked', 'expected', 'found'];
  const cell = (at, text, ...more) =>
    el('td', { 'data-label': heads[at] }, el('div', { class: 'mono answer' }, text), ...more);
  const rows = list.map(({ state, name, place: where, asked, expected, found, problem }) =>
    row([
      el('td', { class: `state ${state === 'unanswered' ? 'error' : state}` }, ANSWERS[state]),
      el('td', {}, name, el('div', { class: 'quiet' }, where)),
      cell(2, asked),
      cell(3, expected),
      cell(4, found ?? problem ?? ''),
    ]),
  );
  const commands = list.flatMap(({ state, name, again }) =>
    state === 'passed' || !again
      ? []
      : [el('p', { class: 'quiet' }, `To evaluate again: ${name}`), copied(again)],
  );
  return [el('h2', {}, 'Questions'), table('Questions', heads, rows, 'stacked'), ...commands];
}

function stacks({ stacks: list, opening }) {
  return list.flatMap(({ what, place: where, frames }) => [
    el('h2', {}, `Stack: ${what}, at ${where}`),
    el(
      'ol',
      { class: 'stack', start: 0 },
      ...frames.map((frame, depth) => el('li', {}, stackFrame(frame, depth))),
    ),
    copied(`revenant gdb ${opening} --goto ${shellWord(where)}`),
  ]);
}

/** The innermost one is open. */
function stackFrame({ function: name, address, file, line, source, variables }, depth) {
  const where = file === null ? address : `${file}${line === null ? '' : `:${line}`}`;
  const lines = source.map(({ number, text, current }) =>
    el(
      'div',
      { class: current ? 'here' : null, 'aria-current': current },
      `${String(number).padStart(5)}  ${text}`,
    ),
  );
  const rows = variables.map(({ name: variable, value, argument }) =>
    row([
      mono(variable),
      mono(value, 'answer'),
      el('td', { class: 'quiet' }, argument ? 'argument' : 'local'),
    ]),
  );
  const more = [
    lines.length > 0
      ? el('pre', { tabindex: 0, title: 'As the file is where revenant ci was started' }, ...lines)
      : null,
    rows.length > 0 ? table(`Variables of ${name ?? address}`, ['name', 'value', ''], rows) : null,
  ].filter((part) => part !== null);
  const title = [
    el('span', { class: 'mono' }, name ?? 'no symbol'),
    el('span', { class: 'quiet' }, `  ${where}`),
  ];
  if (more.length === 0) return el('div', {}, ...title);
  return el('details', { open: depth === 0 }, el('summary', {}, ...title), ...more);
}

const shellWord = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

function divergence({ divergence: report }) {
  if (!report) return [];
  const sections = [registers(report), instructions(report), lastFrames(report)].filter(
    (part) => part !== null,
  );
  return [
    el('h2', {}, `Divergence at frame ${grouped(report.frameTime)}`),
    facts([
      ['task', `${report.tid} ${report.taskName}`],
      ['event', report.event],
      ['what differs', report.summary],
      ['expected', report.expected],
      ['found', report.found],
      ['ticks', ticks(report.ticks)],
      ['rip', place(report.rip)],
      ['rsp', place(report.rsp)],
    ]),
    el('div', { class: 'columns' }, ...sections),
    el('h3', {}, 'What to do'),
    el('ul', {}, ...report.advice.map((text) => el('li', {}, text))),
  ];
}

const ticks = (counted) =>
  counted &&
  `${grouped(counted.expected)} recorded, ${counted.found === null ? 'not counted here' : `${grouped(counted.found)} replayed`}`;
const place = (at) => at && [at.address, at.symbol ?? 'no symbol', at.mapping ?? 'not mapped'].join('  ');

function registers(report) {
  if (report.registers.length === 0) return null;
  const padded = (value) => (value === null ? '' : value.replace(/^0x/, '').padStart(16, '0'));
  const rows = report.registers.map(({ name, expected, found, differs }) =>
    row(
      [
        el('td', { class: 'mono' }, `${differs ? '* ' : '  '}${name}`),
        mono(padded(expected)),
        mono(padded(found)),
      ],
      differs ? { class: 'differs' } : {},
    ),
  );
  return el(
    'section',
    {},
    el('h3', {}, 'Registers'),
    table('Registers', ['register', 'recorded', 'replayed'], rows),
  );
}

function instructions(report) {
  if (report.instructions.length === 0) return null;
  const rows = report.instructions.map(({ address, bytes, text, comment, current }) =>
    row(
      [
        mono(`${current ? '\u25b6 ' : '  '}${address}`),
        mono(bytes.length > 20 ? `${bytes.slice(0, 20)}+` : bytes),
        mono(comment ? `${text}  ; ${comment}` : text),
      ],
      current ? { class: 'here', 'aria-current': 'true' } : {},
    ),
  );
  return el(
    'section',
    {},
    el('h3', {}, 'Instructions'),
    table('Instructions', ['address', 'bytes', 'instruction'], rows),
  );
}

function lastFrames(report) {
  if (report.lastFrames.length === 0) return null;
  const rows = report.lastFrames.map(({ frameTime, tid, ticks: count, event }) =>
    row([mono(String(frameTime)), mono(String(tid)), mono(String(count)), mono(event)]),
  );
  return el(
    'section',
    {},
    el('h3', {}, 'Last frames'),
    table('Last frames', ['frame', 'task', 'ticks', 'event'], rows),
  );
}

function timeline(result) {
  const { timeline: data, divergence: report } = result;
  if (!data || data.entries === 0) return [];
  const merged = data.entries < data.frames ? ', drawn in runs of frames' : '';
  const note = `${grouped(data.frames)} frames, ${data.tasks.length} ${data.tasks.length === 1 ? 'task' : 'tasks'}, ${durationText(data.duration)} recorded${merged}`;
  const box = el('div', {}, el('p', { class: 'quiet' }, note));
  void unpackTimeline(data).then((columns) => {
    let list = null;
    const commands = el('div', { class: 'here-commands' });
    const marks = report ? [{ frame: report.frameTime }] : [];
    const view = new TimelineView(data, columns, marks, (index) => {
      list?.reveal(index);
      commands.replaceChildren(...commandsAt(result, columns.first[index]));
    });
    list = new EventList(data, columns, (index) => view.choose(index));
    box.append(view.element, finder(list, view), list.element, commands);
    view.draw();
    if (report) view.choose(view.entryOfFrame(report.frameTime));
  });
  return [el('h2', {}, 'Timeline'), box];
}

/** Searches events by name, argument, result or file. */
function finder(list, view) {
  const said = el('span', { class: 'quiet', role: 'status' });
  const go = (step) => {
    const index = input.value === '' ? -1 : list.find(input.value, step);
    said.textContent = index < 0 && input.value !== '' ? 'No event is like that.' : '';
    if (index >= 0) view.choose(index);
  };
  const input = el('input', {
    type: 'search',
    placeholder: 'Find an event: name, argument, file',
    'aria-label': 'Find an event; Enter goes to the next, Shift and Enter to the one before',
    onkeydown: (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      go(event.shiftKey ? -1 : 1);
    },
  });
  const button = (text, label, step) =>
    el('button', { type: 'button', 'aria-label': label, title: label, onclick: () => go(step) }, text);
  return el(
    'div',
    { class: 'tools find', role: 'search' },
    input,
    button('\u2191', 'The event before', -1),
    button('\u2193', 'The next event', 1),
    said,
  );
}

/** Commands that go to this place: right after the frame. */
function commandsAt({ opening }, frame) {
  return [
    el('p', { class: 'quiet' }, `To debug after frame ${grouped(frame)}, or to evaluate there:`),
    copied(`revenant gdb ${opening} --goto ${frame}`),
    copied(`revenant call ${opening} --at ${frame} '$rip'`),
  ];
}

function output(title, stream) {
  if (!stream || stream.bytes === 0) return [];
  const cut = stream.truncated ? ', the beginning is shown' : '';
  return [
    el('h2', {}, `${title} (${sizeText(stream.bytes)}${cut})`),
    el('pre', { tabindex: 0 }, streamText(stream)),
  ];
}

function machine(result) {
  const { summary, machine: facts_, stats } = result;
  const pace = paceText(result.replaySeconds, result.frames, 'frame');
  const recorded = summary
    ? [
        ['command', summary.commandLine.join(' ')],
        ['recorded on', `${summary.recordedOn}, XCR0 ${summary.xcr0}`],
      ]
    : [];
  const replayed = facts_
    ? [
        ['replayed on', facts_.description],
        ['XCR0', `${facts_.guestXcr0} in the guest, ${facts_.xcr0} in the machine`],
        ['not on the host', facts_.hostProblem],
      ]
    : [];
  return [
    el('h2', {}, 'Machine'),
    facts([
      ...recorded,
      ...replayed,
      ['exit status', result.status === null ? null : String(result.status)],
      ['replay', pace === '' ? null : `${durationText(result.replaySeconds)}, ${pace}`],
      ['guest memory', stats ? `${sizeText(stats.peakPages * 4096)} at most` : null],
      ['exits', stats ? `${grouped(stats.exits)}, of them ${grouped(stats.pageFaults)} page faults` : null],
      ['went back to count ticks', stats && stats.fallbacks > 0 ? grouped(stats.fallbacks) : null],
      ['attempts', result.attempts > 1 ? String(result.attempts) : null],
      ['worker', result.worker],
      ['defined in', result.source ? `${result.source.file}:${result.source.line}` : null],
      ['artifacts', result.artifacts.map(({ kind, path }) => `${kind}: ${path}`).join(', ')],
    ]),
  ];
}

function log({ log: text }) {
  return text === ''
    ? []
    : [el('h2', {}, 'Log of the worker'), el('pre', { tabindex: 0, class: 'wrap' }, text)];
}

function command({ reproduce, debug }) {
  const before = debug
    ? [el('h2', {}, 'To debug it from right before, in the folder of artifacts'), copied(debug)]
    : [];
  return [
    el('h2', {}, 'To see it again'),
    copied(reproduce),
    ...before,
    el('p', { class: 'quiet' }, `Revenant ${run.revenant}`),
  ];
}

/** A command, and a button that copies it. */
function copied(text) {
  const button = el('button', { type: 'button', onclick: () => copy(text, button) }, 'Copy');
  return el('div', { class: 'command' }, el('pre', { class: 'wrap', tabindex: 0 }, text), button);
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    button.textContent = 'Not allowed';
  }
}
