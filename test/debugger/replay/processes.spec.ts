import { describe, expect, it } from 'vitest';
import { debugOnce, sample } from './recording.js';

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

it('the end, with --at-end, is where the last process still stands', async () => {
  const commands = ['info inferiors', 'monitor when', 'continue'];
  const { text } = await debugOnce(sample('zen2/spawn'), commands, undefined, { atEnd: true });
  expect(text.match(/process \d+ +\d+ \(extended-remote/g)).toHaveLength(1);
  expect(text).toMatch(/Completed event: \d+/);
  expect(text).toMatch(/Inferior 1 \(process \d+\) exited normally/);
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
