/** Conditions of scripts that are tested where the program runs. */
import { expect, it } from 'vitest';
import { Replay } from '../../src/index.js';
import { recording } from '../collections.js';
import { MACHINE } from '../machines.js';

async function withReplay(work: (replay: Replay) => Promise<void>): Promise<void> {
  const replay = await Replay.open(recording('hits/many')!, { machine: MACHINE });
  try {
    await work(replay);
  } finally {
    await replay.close();
  }
}

it('a breakpoint in a loop stops where its registers have these values, in both directions', () =>
  withReplay(async (replay) => {
    let asked = 0;
    const condition = (): boolean => ++asked > 0;
    const point = await replay.breakAt('spot', { registers: { rdi: 12_345 }, condition });
    expect((await replay.continue()).kind).toBe('breakpoint');
    expect(replay.register('rdi')).toBe(12_345n);
    expect((await replay.continue()).kind).toBe('exited');
    expect((await replay.reverseContinue()).kind).toBe('breakpoint');
    expect(replay.register('rdi')).toBe(12_345n);
    expect(asked).toBeLessThan(10);
    point.remove();
    await expect(replay.breakAt('spot', { registers: { st0: 1n } as never })).rejects.toThrow(
      'No register st0',
    );
  }));

it('a watchpoint stops where a value is written', () =>
  withReplay(async (replay) => {
    replay.watch('hits', { value: 17_000 });
    expect((await replay.continue()).kind).toBe('watchpoint');
    expect(replay.read('hits', 'i32')).toBe(17_000);
    expect((await replay.continue()).kind).toBe('exited');
    expect((await replay.reverseContinue()).kind).toBe('watchpoint');
    expect(replay.read('hits', 'i32')).toBe(16_999);
    expect(() => replay.watch('hits', { value: 1, length: 3 })).toThrow('1, 2, 4 or 8 bytes');
    expect(() => replay.watch('hits', { value: 1, access: 'read' })).toThrow('for writes');
  }));
