import path from 'node:path';
import { expect, it } from 'vitest';
import { RevenantError } from '../engine/base/errors.js';
import { TraceReader } from '../engine/trace/reader.js';
import { chooseMachine } from './choose.js';
import { MachinePartMissing } from './installation.js';

const header = TraceReader.headerOf(path.resolve(import.meta.dirname, '../../traces/zen2/hello-static'));

it('says why the process machine is not used where the emulated one is not installed', async () => {
  const opened: string[] = [];
  const failing = chooseMachine({
    machine: 'auto',
    header,
    without: new Set(['host']),
    lease: (kind) => {
      opened.push(kind);
      if (kind === 'emulated')
        throw new MachinePartMissing('E_MACHINE_START', 'QEMU is missing.', 'Run: apt');
      throw new RevenantError('E_MACHINE_CANNOT', 'A process cannot be used.', 'Use --machine emulated.');
    },
  });
  await expect(failing).rejects.toBeInstanceOf(MachinePartMissing); // An installed package installs it then.
  await expect(failing).rejects.toMatchObject({
    code: 'E_MACHINE_START',
    message: 'A process cannot be used. QEMU is missing.',
    hint: 'Run: apt',
  });
  expect(opened).toEqual(['process', 'emulated']);
});
