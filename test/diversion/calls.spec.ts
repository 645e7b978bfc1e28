/** Calls in diversions of a binary tree's replay: results, output, files, crashes, and the replay unharmed. */
import fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { divert } from '../../src/recording/divert.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { frameBeforeExit, openReplay, standing, traceFolder, type Replay } from './fixtures.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());

const drawing = (expected: string): string => expected.slice(expected.indexOf('\n') + 1);

describe.each(['skylake-pku/tree', 'zen2/tree', 'haswell/tree'].filter((name) => traceFolder(name)))(
  'at the exit of main of %s',
  (name) => {
    const folder = traceFolder(name)!;
    const expected = fs.readFileSync(`${folder}/expected_stdout`, 'utf8');
    let replay: Replay;
    beforeAll(() => {
      replay = openReplay(transport, folder);
      replay.advanceTo(frameBeforeExit(folder));
    });
    afterAll(() => replay.close());

    it("calls return the program's values, and the replay is unchanged", async () => {
      const [, keys, depth, sum] = /keys (\d+) depth (\d+) sum (\d+)/.exec(expected)!;
      const before = standing(replay);
      await divert(replay.session.stand(), async (d) => {
        expect((await d.evaluate('tree_sum(root)')).text).toBe(sum);
        expect((await d.evaluate('tree_depth(root)')).text).toBe(depth);
        expect((await d.evaluate('(int)inserted')).text).toBe(keys);
        // An IFUNC in the C library: its symbol is the resolver.
        expect((await d.evaluate('(unsigned long)strlen("hello")')).text).toBe('5');
        expect(await d.call('strlen', 'seven b')).toBe(7n);
        expect((await d.evaluate('(unsigned long)(&strlen)("abc") + strlen("de")')).text).toBe('5');
        expect((await d.evaluate('(double)strtod("2.5", 0)')).text).toBe('2.5');
        expect((await d.evaluate('(int)snprintf(0, 0, "%g %d %g", 0.25, 7, 1e10)')).text).toBe('12');
        await d.evaluate('print_tree(root, 0)');
        expect(d.stdout).toBe(drawing(expected));
        const text = `tree of ${keys} keys, depth ${depth}, sum ${sum}`;
        expect((await d.evaluate('(char*)describe(root)')).text).toBe(JSON.stringify(text));
        const lines = fs.readFileSync('/etc/passwd', 'utf8').split('\n').length - 1;
        expect(await d.call('count_lines', '/etc/passwd')).toBe(BigInt(lines));
        expect(await d.call('count_lines', '/no/such/file')).toBe(0xffff_ffffn);
      });
      expect(standing(replay)).toEqual(before);
    });

    it('a crash is reported with its place, and changes nothing', async () => {
      const before = standing(replay);
      const crash = divert(replay.session.stand(), (d) => d.call('crash_on', 999));
      await expect(crash).rejects.toMatchObject({ code: 'E_DIVERSION' });
      await expect(crash).rejects.toThrow(/SIGSEGV in task \d+ at 0x[0-9a-f]+, touching 0x0/);
      expect(standing(replay)).toEqual(before);
    });

    it('writes to memory are visible in the diversion only', async () => {
      const source = replay.session.stand();
      await divert(source, async (d) => {
        const { value } = await d.evaluate('&inserted');
        d.writeMemory(value as bigint, Uint8Array.of(100, 0, 0, 0));
        expect((await d.evaluate('(int)inserted')).text).toBe('100');
      });
      await divert(source, async (d) => {
        expect((await d.evaluate('(int)inserted')).text).not.toBe('100');
      });
    });

    it('the replay continues to its end without a divergence', () => {
      replay.toEnd();
      expect(replay.printed).toBe(expected);
    });
  },
);
