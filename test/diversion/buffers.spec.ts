/** What calls print without writing it: it comes out when they are over, and nothing of the recorded program's own does. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Replay } from '../../src/index.js';
import { caseTrace, itOn, recording } from '../collections.js';
import { debugOnce } from '../debugger/replay/recording.js';
import { runRevenant } from '../jobs/run-revenant.js';
import { MACHINE } from '../machines.js';

const folder = recording('buffers/buffers')!;

describe('a script', () => {
  let replay: Replay;
  beforeAll(async () => {
    replay = await Replay.open(folder, { machine: MACHINE });
    await replay.runTo('spot');
  });
  afterAll(() => replay.close());

  it('has the output of printf, wide streams and streams of C++', async () => {
    await replay.divert(async (diversion) => {
      expect(await diversion.call('partial', 7)).toBe(9n);
      expect(diversion.output).toBe('partial 7');
      expect((await diversion.evaluate('streamed(8)')).text).toBe('8');
      await diversion.call('wider', 9);
      expect(diversion.stdout).toBe('partial 7streamed 8');
      expect(diversion.stderr).toBe('wider 9');
      // What comes back in a vector register stays there.
      expect((await diversion.evaluate('halved(3)')).text).toBe('1.5');
      expect(diversion.stdout).toBe('partial 7streamed 8halved');
    });
  });

  it('has the output of a call before it failed; the next call works', async () => {
    await replay.divert(async (diversion) => {
      await expect(diversion.evaluate('broken()')).rejects.toMatchObject({ code: 'E_DIVERSION' });
      expect(diversion.output).toBe('broken');
      await expect(diversion.call('broken')).rejects.toMatchObject({ code: 'E_DIVERSION' });
      expect(diversion.output).toBe('brokenbroken');
      expect(await diversion.call('partial', 1)).toBe(9n);
      expect((await diversion.evaluate('partial(2)')).text).toBe('9');
      expect(diversion.output).toBe('brokenbrokenpartial 1partial 2');
    });
  });

  it('has the text of the program, too, if the program continues', async () => {
    await replay.divert(async (diversion) => {
      await diversion.call('partial', 1);
      while ((await diversion.continue()).kind !== 'exited');
      expect(diversion.stdout).toContain('of the program, ');
      expect(diversion.stdout.match(/of its stream, /g)).toHaveLength(1);
    });
  });
});

describe('revenant call', () => {
  const call = (place: string, ...expressions: string[]): ReturnType<typeof runRevenant> =>
    runRevenant(['call', folder, '--machine', MACHINE, '--at', place, ...expressions]);

  it('prints it before the result, also where a call failed before', async () => {
    const { stdout, stderr, code } = await call('spot:1', 'partial(7)', 'broken()', 'streamed(8)');
    expect(stdout).toBe('partial 7partial(7) = 9\nbrokenstreamed 8streamed(8) = 8\n');
    expect(stderr).toMatch(/broken\(\): The call ended with SIGSEGV/);
    expect(code).toBe(9);
  });

  it('reports text in a buffer that cannot be flushed', async () => {
    const { stdout, stderr, code } = await call('spot:2', 'partial(7)');
    expect(stdout).toBe('partial(7) = 9\n');
    expect(stderr).toMatch(/stayed in the program's buffer of standard output .*: "partial 7"/);
    expect(code).toBe(0);
  });
});

describe('gdb', () => {
  it('shows it after each call, once', async () => {
    const { text } = await debugOnce(folder, [
      'break spot',
      'continue',
      'print partial(7)',
      'print streamed(8)',
      'print $_strlen("abc") + halved(3)',
      'call (int)printf("%s|", "a text of ours")',
      'continue',
    ]);
    expect(text).toMatch(
      /partial 7\s*\$1 = 9\s+streamed 8\s*\$2 = 8\s+halved\s*\$3 = 4.5\s+a text of ours\|/,
    );
    expect(text).not.toMatch(/of the program|of its stream/);
  });

  it('shows what dprintf has the program print', async () => {
    const { text } = await debugOnce(folder, [
      'set dprintf-style call',
      'dprintf spot,"spot %d.", n',
      'continue',
    ]);
    expect(text).toContain('spot 1.');
    // Standard output is locked there.
    expect(text).toMatch(/stayed in the program's buffer of standard output .*: "spot 2\."/);
  });

  it('reports the output of a call that crashed; the next call works', async () => {
    const { text } = await debugOnce(folder, [
      'break spot',
      'continue',
      'python\ntry: gdb.execute("print broken()")\nexcept gdb.error: pass',
      'monitor diversion end',
      'print partial(7)',
      'set unwindonsignal on',
      'python\ntry: gdb.execute("print broken()")\nexcept gdb.error: pass',
      'print partial(8)',
    ]);
    expect(text).toMatch(/\(the call has not returned\): "broken"/);
    expect(text).toMatch(/partial 7\s*\$\d = 9/);
    expect(text).toMatch(/partial 8\s*\$\d = 9/);
  });
});

describe('Python', () => {
  const python = recording('real/python');
  itOn(python, 'flushes its own streams, and is left as it was', async (trace) => {
    const replay = await Replay.open(trace, { machine: MACHINE });
    try {
      await replay.runTo('PyThread_start_new_thread');
      await replay.divert(async (diversion) => {
        const run =
          "(int)PyRun_SimpleString(\"import sys; print(6 * 7, end=''); sys.stderr.write('no line')\")";
        expect((await diversion.evaluate(run)).text).toBe('0');
        expect(diversion.stdout).toBe('42');
        expect(diversion.stderr).toBe('no line');
      });
    } finally {
      await replay.close();
    }
  });
});

itOn(caseTrace('except'), 'an uncaught exception prints its message', async (trace) => {
  const line = ['call', trace, '--machine', MACHINE, '--at', '_Z9stop_herev', '_Z7checkedi(5)'];
  const { stderr, code } = await runRevenant(line);
  expect(stderr).toContain('terminate called after throwing');
  expect(stderr).toMatch(/The call ended with SIGABRT/);
  expect(code).toBe(9);
});
