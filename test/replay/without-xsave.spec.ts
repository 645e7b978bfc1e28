/** A trace of a processor without XSAVE, whose extra registers are FXSAVE's 512 bytes, on processors with and without it. */
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';
import { itOn, recording, sample } from '../collections.js';
import { emulatedProblem, machinesHere } from '../machines.js';
import { openWithoutXsave } from './made-up-layout.js';
import { replayWhole } from './open-session.js';

const MAX_TURNS = 10_000;
/** Without XSAVE, and one whose CPUID hides it. */
const CPUS = ['Nehalem', 'Denverton,-xsave'];

const replayed = (transport: VcpuTransport, folder: string): string =>
  replayWhole(transport, openWithoutXsave(folder), MAX_TURNS).stdout;

const machines: [name: string, open: () => Promise<VcpuTransport> | VcpuTransport][] = [
  ...machinesHere(512),
  ...(emulatedProblem === null ? CPUS : []).map(
    (cpu) => [`an emulated ${cpu}`, () => acquireEmulated({ cpu })] as [string, () => Promise<VcpuTransport>],
  ),
];

for (const [name, open] of machines) {
  itOn(recording('mmx/registers'), `replays in ${name}`, async (folder) => {
    const transport = await open();
    try {
      expect(replayed(transport, folder)).toBe(fs.readFileSync(path.join(folder, 'expected_stdout'), 'utf8'));
    } finally {
      transport.close();
    }
  });
}

it.skipIf(emulatedProblem !== null)('a trace with XSAVE is refused where there is none', async () => {
  for (const cpu of CPUS) {
    const { code, stderr } = await runCli(
      'replay',
      sample('noavx/avxsum'),
      '--machine',
      'emulated',
      '--cpu',
      cpu,
    );
    expect(stderr).toMatch(/The recording has XSAVE and XGETBV, which QEMU emulator, .* does not have/);
    expect(code).toBe(ExitCode.machine);
  }
});
