/** Recordings whose address spaces are in the way of the process machine (test/guests/layout.c). */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { traceUse, type TraceUse } from '../../src/engine/trace/use.js';
import { isClear, openProcess, PROCESS_BASE } from '../../src/machine/process.js';
import { runCli } from '../cli/run-cli.js';
import { recording } from '../collections.js';
import { emulatedProblem, problemInProcess, processProblem } from '../machines.js';
import { openSession } from '../replay/open-session.js';
import { toEnd } from '../replay/to-end.js';

function useOf(folder: string): TraceUse {
  const trace = TraceReader.open(folder);
  try {
    return traceUse(trace);
  } finally {
    trace.close();
  }
}

const expected = (folder: string): string => fs.readFileSync(path.join(folder, 'expected_stdout'), 'utf8');

describe.skipIf(processProblem !== null)(`where the process machine is (skipped: ${processProblem})`, () => {
  const fixed = recording('layout/fixed')!;
  const full = recording('layout/full')!;

  it('is elsewhere for a program that has its place, a terabyte, thousands of mappings and a moved stack', async () => {
    const use = useOf(fixed);
    const usual = { start: PROCESS_BASE, end: PROCESS_BASE + 2 ** 32 };
    expect(isClear(usual as Parameters<typeof isClear>[0], use)).toBe(false);
    const transport = openProcess({ use });
    try {
      const { start, end } = transport.reserved!;
      expect(PROCESS_BASE < start || PROCESS_BASE >= end).toBe(true);
      expect(isClear({ start, end }, use)).toBe(true);
      for (const verifyTicks of [false, true]) {
        let text = '';
        const output = (_: number, bytes: Uint8Array): void => {
          text += Buffer.from(bytes).toString('latin1');
        };
        const { session, close } = openSession(transport, fixed, { output, verifyTicks });
        try {
          await toEnd(session);
          expect(text).toBe(expected(fixed));
        } finally {
          close();
        }
      }
    } finally {
      transport.close();
    }
  });

  it('is chosen by the command', async () => {
    const { code, stdout, stderr } = await runCli('replay', fixed, '--machine', 'process');
    expect([code, stdout], stderr).toEqual([0, expected(fixed)]);
  });

  it('is refused by name for a program that leaves no place', async () => {
    expect(problemInProcess(full)).toMatch(/mappings everywhere: there are no 20 GiB/);
    const { code, stdout, stderr } = await runCli('replay', full, '--machine', 'process');
    expect([code, stdout]).toEqual([4, '']);
    expect(stderr).toMatch(/mappings everywhere: there are no 20 GiB for the process/);
    expect(stderr).toMatch(/--machine emulated/);
  });

  it.skipIf(emulatedProblem !== null)(
    `is not tried for that one: it is the emulated machine's (skipped: ${emulatedProblem})`,
    async () => {
      const { code, stdout, stderr } = await runCli('replay', full);
      expect([code, stdout], stderr).toEqual([0, expected(full)]);
      expect(stderr).toMatch(/machine: QEMU emulator/);
      expect(stderr).not.toMatch(/Continuing on another machine/);
    },
  );
});
