import { describe, expect, it } from 'vitest';
import type { Place } from '../../../src/recording/place.js';
import type { StartPlace } from '../../../src/recording/start-place.js';
import { debugOnce, sample, type Session } from './recording.js';

describe('processes and threads', () => {
  it('a child is followed across its vfork and exec, and its end is the end of history', async () => {
    const { said, text } = await debugOnce(sample('zen2/spawn'), [], 'family()');
    expect(said.child, text).not.toBe(said.parent);
    expect(said.program).toMatch(/\/echo$/);
    expect(said.stack).toMatch(/write/);
    expect(said.end).toMatch(/^spawned$/m);
    expect(said.end).toMatch(new RegExp(`process ${said.child} exited normally here`));
  });

  it('both processes are held, each with its breakpoints', async () => {
    const { text } = await debugOnce(sample('zen2/spawn'), [
      'set detach-on-fork off',
      'set schedule-multiple on',
      'catch exec',
      'break main',
      'continue',
      'continue',
      'info inferiors',
    ]);
    expect(text).toMatch(/Catchpoint 1 \(exec'd .*echo\)/);
    expect(text).toMatch(/1 +process \d+ .*spawn\s/);
    expect(text).toMatch(/\* 2 +process \d+ .*echo\s/);
  });

  it('a watchpoint sees the writes of every thread', async () => {
    const { said } = await debugOnce(sample('zen2/race'), [], 'race(12)');
    const forward = said.forward as [number, number, number][];
    expect(forward.map(([, value]) => value)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(said.threads).toMatch(/Thread \d+\.\d+ "race".*\n.*Thread \d+\.\d+ "race"/);
  });
});

it('the end, with --at-end, is before the exit of the last process', async () => {
  const commands = ['info inferiors', 'monitor when', 'continue'];
  const { text } = await debugOnce(sample('zen2/spawn'), commands, undefined, { atEnd: true });
  expect(text.match(/process \d+ +\d+ \(extended-remote/g)).toHaveLength(1);
  expect(text).toMatch(/Completed event: \d+/);
  expect(text).toMatch(/No more reverse-execution history/);
});

describe('--on-process', () => {
  const frame = (number: number): Place => ({ kind: 'frame', frame: number });
  const commands = [
    'info proc exe',
    'monitor when',
    'monitor when-tid',
    'python print(gdb.selected_inferior().pid)',
  ];
  const begin = (place: StartPlace): Promise<Session> =>
    debugOnce(sample('zen2/spawn'), commands, undefined, place);

  it.each([
    ['a command', { onProcess: 'sh' }, 1021, 31964],
    ['a number', { onProcess: '31963' }, 367, 31963],
    ['a frame before that', { onProcess: 'sh', goto: frame(100) }, 1021, 31964],
    ['a frame after that', { onProcess: 'sh', goto: frame(1100) }, 1100, 31964],
  ])('begins where the program does: %s', async (_name, place, at, pid) => {
    const { text } = await begin(place);
    expect(text).toMatch(new RegExp(`Completed event: ${at}\nCurrent tid: ${pid}\n${pid}\n`));
  });

  it('with --at-end stops before the exit of that process', async () => {
    const { text } = await begin({ onProcess: 'echo', atEnd: true });
    expect(text).toMatch(/Current tid: 31963\n31963\n/);
    const { text: later } = await debugOnce(sample('zen2/spawn'), ['continue'], undefined, {
      task: 31963,
      atEnd: true,
    });
    expect(later).toMatch(/No more reverse-execution history/);
  });

  it('names what no process executes', async () => {
    await expect(begin({ onProcess: 'nosuch' })).rejects.toThrow(/No process nosuch executes a program/);
  });
});

describe('a crash', () => {
  it('is where debugging begins with --at-crash, with the stack and the signal', async () => {
    const commands = ['backtrace', 'print $_siginfo.si_signo', 'print $_siginfo._sifields._sigfault.si_addr'];
    const more = ['up', 'print *r', 'monitor when', 'continue'];
    const { text } = await debugOnce(sample('zen2/crash'), [...commands, ...more], undefined, {
      atCrash: true,
    });
    expect(text).toMatch(/#1 .* length_of \(r=0x[0-9a-f]+\)/);
    expect(text).toMatch(/\$1 = 11\n\$2 = \(void \*\) 0x0\n/);
    expect(text).toMatch(/\$3 = \{name = 0x0, length = 2\}/);
    expect(text).toMatch(/process \d+ terminated with signal SIGSEGV here/);
  });
});
