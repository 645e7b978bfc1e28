/** A trace of a processor without XSAVE, whose extra registers are FXSAVE's 512 bytes, on processors with and without it. */
import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';
import { itOn, recording, traceFolder } from '../collections.js';
import { machinesHere } from '../machines.js';
import { openWithoutXsave } from './made-up-layout.js';
import { replayWhole } from './open-session.js';

const MAX_TURNS = 10_000;

const replayed = (transport: VcpuTransport, folder: string): string =>
  replayWhole(transport, openWithoutXsave(folder), MAX_TURNS).stdout;

const machines: [name: string, open: () => Promise<VcpuTransport> | VcpuTransport][] = [
  ...machinesHere(512),
  ['an emulated machine without XSAVE', () => acquireEmulated({ cpu: 'Nehalem' })],
  ['an emulated machine whose CPUID hides XSAVE', () => acquireEmulated({ cpu: 'Denverton,-xsave' })],
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

itOn(traceFolder('noavx/avxsum'), 'a trace with XSAVE is refused where there is none', async (folder) => {
  for (const cpu of ['Nehalem', 'Denverton,-xsave']) {
    const { code, stderr } = await runCli('replay', folder, '--machine', 'emulated', '--cpu', cpu);
    expect(stderr).toMatch(/The recording has XSAVE and XGETBV, which QEMU emulator, .* does not have/);
    expect(code).toBe(ExitCode.machine);
  }
});
