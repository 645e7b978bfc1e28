import { describe, expect, it, vi } from 'vitest';
import type { CommandIo } from './output.js';
import { Progress } from './progress.js';

function listen(terminal: boolean): { io: CommandIo; said: string[]; pass: (ms: number) => void } {
  const said: string[] = [];
  let time = 0;
  const err = (text: string): void => void said.push(text);
  const io: CommandIo = {
    out: err,
    err,
    bytes: () => {},
    isTerminal: () => terminal,
    columns: () => 40,
    now: () => time,
  };
  return { io, said, pass: (ms) => (time += ms) };
}

describe('Progress', () => {
  it('rewrites one line on a terminal and clears it before other output', () => {
    const { io, said, pass } = listen(true);
    const progress = new Progress(io, false);
    progress.update(() => 'too early');
    pass(200);
    progress.update(() => 'frame 7');
    progress.note('machine started');
    progress.clear();
    expect(said).toEqual(['\r\x1b[Kframe 7', '\r\x1b[K', 'revenant: machine started\n']);
  });

  it('is updated while something is waited for, and fits its line', () => {
    vi.useFakeTimers();
    try {
      const { io, said, pass } = listen(true);
      const progress = new Progress(io, false);
      progress.waiting('starting a machine');
      for (const ms of [1000, 64_000]) {
        pass(ms);
        vi.advanceTimersByTime(1000);
      }
      progress.waiting('waiting for a machine: 1 in use by pid 41');
      progress.clear();
      pass(1000);
      vi.advanceTimersByTime(5000);
      expect(said).toEqual([
        '\r\x1b[Kstarting a machine, 0 s',
        '\r\x1b[Kstarting a machine, 1 s',
        '\r\x1b[Kstarting a machine, 1 min 5 s',
        '\r\x1b[Kwaiting for a machine: 1 in use by pid…',
        '\r\x1b[K',
      ]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('says a plain line now and then elsewhere', () => {
    const { io, said, pass } = listen(false);
    const progress = new Progress(io, false);
    pass(200);
    progress.update(() => 'too early');
    pass(10_000);
    progress.update(() => 'frame 7');
    expect(said).toEqual(['revenant: frame 7\n']);
  });

  it('is silent when quiet', () => {
    const { io, said, pass } = listen(true);
    const progress = new Progress(io, true);
    pass(20_000);
    progress.update(() => 'frame 7');
    progress.note('machine started');
    expect(said).toEqual([]);
  });
});
