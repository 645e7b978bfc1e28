import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { chooseMachine } from '../../src/machine/choose.js';
import { configure } from '../../src/machine/launch.js';
import { machineStatus, stopMachines } from '../../src/machine/keeper-client.js';
import { options, stopMine } from './fixtures.js';

const header = (name: string) => {
  const reader = TraceReader.open(path.resolve(import.meta.dirname, '../../traces', name));
  reader.close();
  return reader.header;
};
const skylake = header('skylake-pku/xcr0probe'); // XCR0 0x207
const haswell = header('haswell/xcr0probe'); // 0x7
const noavx = header('noavx/xcr0probe'); // 0x3

const choose = (trace: typeof skylake, cpu?: string) =>
  chooseMachine({ ...options, machine: 'emulated', header: trace, cpu });

function stopModel(cpu: string): void {
  const { baseName } = configure({ ...options, cpu });
  stopMachines(
    machineStatus()
      .map(({ name }) => name)
      .filter((name) => name.startsWith(baseName)),
  );
}

afterAll(stopMine);

describe('the default emulated machine', () => {
  it.each([
    ['protection keys', skylake, 0x207n],
    ['AVX', haswell, 7n],
    ['SSE only', noavx, 3n],
  ])('shows programs the recorded XCR0: %s', async (_, trace, xcr0) => {
    const { machine, probeReport, compatibility } = await choose(trace);
    machine.close();
    expect(probeReport).toMatchObject({ passed: true, xcr0Seen: xcr0 });
    expect(compatibility.ok).toBe(true);
  });
});

describe('a machine with less', () => {
  const cpu = 'EPYC-Rome,-avx,-avx2,-fma,-f16c';
  afterAll(() => stopModel(cpu));

  it('is refused before anything runs, by the name of what it lacks', async () => {
    const missing = { ...options, cpu, machine: 'emulated', completion: false } as const;
    await expect(chooseMachine({ ...missing, header: skylake })).rejects.toMatchObject({
      code: 'E_MACHINE_CANNOT',
      message: expect.stringMatching(/XCR0 bit 9 \(PKRU, protection keys\)/),
      hint: expect.stringMatching(/default emulated machine has it/),
    });
    await expect(chooseMachine({ ...missing, header: haswell })).rejects.toMatchObject({
      message: expect.stringMatching(/XCR0 bit 2 \(AVX\)/),
    });
  });

  it('is taken where what it lacks is kept beside it', async () => {
    for (const trace of [skylake, haswell]) {
      const { machine, compatibility } = await choose(trace, cpu);
      expect([compatibility.ok, machine.config.xcr0 & ~machine.xcr0]).not.toEqual([true, 0n]);
      machine.close();
    }
  });

  it('is taken where that is enough', async () => {
    const { machine, probeReport } = await choose(noavx, cpu);
    machine.close();
    expect(probeReport.xcr0Seen).toBe(3n);
  });
});
