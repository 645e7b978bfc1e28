/** A trace of a processor without XSAVE, whose extra registers are FXSAVE's 512 bytes, on processors with and without it. */
import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { silentLogger } from '../../src/engine/base/log.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import { tryMachine } from '../../src/machine/choose.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';
import { itOn, recording, traceFolder } from '../collections.js';
import { machinesHere } from '../machines.js';
import { openWithoutXsave } from './made-up-layout.js';

const MAX_TURNS = 10_000;

function replayed(transport: VcpuTransport, folder: string): string {
  const trace = openWithoutXsave(folder);
  const trial = tryMachine(transport, trace.header);
  if (!trial.ok) throw new Error(trial.compatibility.reasons.join('\n'));
  const chunks: Buffer[] = [];
  const session = ReplaySession.open({
    trace,
    machine: trial.machine,
    log: silentLogger,
    output: (stream, bytes) => void (stream === 1 && chunks.push(Buffer.from(bytes))),
    memoryLimitBytes: 512 * 2 ** 20,
    stallLimitMicros: 60e6,
  });
  try {
    let turns = 0;
    while (session.advance(64, 50_000) !== 'end' && turns < MAX_TURNS) turns++;
    expect(turns).toBeLessThan(MAX_TURNS);
    return Buffer.concat(chunks).toString();
  } finally {
    session.close();
    trace.close();
  }
}

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
