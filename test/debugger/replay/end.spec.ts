/** The ends of recordings, and coming back from them. */
import { expect, it } from 'vitest';
import { caseTrace, itOn } from '../../collections.js';
import { debugOnce, sample } from './recording.js';

/** Rows of `info threads`; `*` marks the selected one. */
const ROWS = [
  /^\* \d +Thread \S+ "exdeadlock"/m,
  /^ {2}\d +Thread \S+ "first"/m,
  /^ {2}\d +Thread \S+ "second"/m,
];

itOn(caseTrace('exdeadlock'), 'all threads of a process that a signal ended are there', async (trace) => {
  const { text } = await debugOnce(trace, [
    'handle SIGALRM stop', 'continue', 'print $_siginfo.si_signo', 'print (int)getpid()', 'print $_siginfo.si_signo',
    'continue', 'info threads', 'thread apply all backtrace', 'reverse-stepi', 'continue',
  ]); // prettier-ignore
  expect(text).toMatch(/received signal SIGALRM/);
  expect(text).toMatch(/\$1 = 14\n\$2 = \d+\n\$3 = 14\n/);
  const end = text.slice(text.indexOf('terminated with signal SIGALRM here'));
  expect(end).toMatch(/^terminated.*\n\nNo more reverse-execution history/);
  for (const row of ROWS) expect(end).toMatch(row);
  for (const name of ['main', 'one', 'two']) expect(end).toMatch(new RegExp(`#\\d+ .* in ${name} \\(`));
  expect(end).toMatch(/terminated[^]*Thread 1 "exdeadlock" received signal SIGALRM/);
});

itOn(
  caseTrace('exdeadlock'),
  '`run` goes to a frame, to the end and back, from the end, too',
  async (trace) => {
    const { text } = await debugOnce(trace, [
    'continue', 'run 190', 'when', 'break one', 'run 10000', 'when', 'info threads', 'reverse-continue',
    'set args', 'run', 'when', 'checkpoint', 'checkpoint there', 'info checkpoints', 'continue', 'continue', 'restart 2', 'when',
    'delete checkpoint 1', 'restart 1', 'when-tid', 'info recording',
  ]); // prettier-ignore
    const events = [...text.matchAll(/Completed event: (\d+)/g)].map(([, event]) => Number(event));
    expect(events.slice(0, 2)).toEqual([190, 198]);
    expect(events[3]).toBe(events[2]);
    expect(text).toMatch(/ends with frame 201[^]*Thread \d "exdeadlock" stopped/);
    for (const row of ROWS) expect(text).toMatch(row);
    expect(text).toMatch(/Breakpoint 1, one \(/);
    expect(text).toMatch(
      /Checkpoint 1 at 0x\w+ in _start \(\).*\nCheckpoint 2 at there\nID\tWhen\tWhere\n1\t\d+\t0x.*\n2/,
    );
    expect(text).toMatch(
      /Deleted checkpoint 1\.\nCheckpoint 1 not found\.\nValid checkpoints: 2\nCurrent tid: 23509\n/,
    );
    expect(text).toMatch(/Path of recording: "\/.*"\n/);
    expect(text).not.toMatch(/E03|odd length|Unknown remote|Cannot|failed/);
  },
);

it('stays before the end when it runs on from there', async () => {
  const commands = ['stepi', 'info threads', 'continue', 'reverse-continue'];
  const { text } = await debugOnce(sample('skylake-pku/tree'), commands, undefined, { atEnd: true });
  expect(text).toMatch(/No more reverse-execution history[^]*\* 1 +Thread \S+ "tree"/);
  expect(text).not.toMatch(/exited normally\]|Cannot|does not support|The program is not being run/);
});

it('output appears whenever the program runs there, and not on the way back', async () => {
  const words = ['one', 'two', 'three', 'four', 'five'];
  const between = ['continue', 'reverse-continue', 'continue', 'run', 'continue'];
  const commands = between.flatMap((command, index) => [`echo ${words[index]}\\n`, command]);
  const { text } = await debugOnce(sample('skylake-pku/tree'), commands);
  const shown = words.map((word) => text.split(`\n${word}\n`)[1].split(/\n(?:two|three|four|five)\n/)[0]);
  expect(
    shown.map((part) => /^keys \d+/m.test(part)),
    text,
  ).toEqual([true, false, true, false, true]);
});
