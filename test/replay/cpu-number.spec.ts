/** RDPID returns the number of the processor to which the recorder bound the program, whatever processor it is on now. */
import { expect } from 'vitest';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { itOn, recording } from '../collections.js';
import { machinesHere } from '../machines.js';
import { replayWhole } from './open-session.js';

const MAX_TURNS = 1_000;
/** A number that no processor of the host has. */
const NUMBER = 777;

for (const [name, open] of machinesHere(512)) {
  itOn(recording('rdpid/numbers'), `in ${name}`, async (folder) => {
    const transport = await open();
    try {
      const trace = TraceReader.open(folder);
      Object.assign(trace.header, { bindToCpu: NUMBER });
      expect(replayWhole(transport, trace, MAX_TURNS).stdout).toBe(`${NUMBER} ${NUMBER}\n`);
    } finally {
      transport.close();
    }
  });
}
