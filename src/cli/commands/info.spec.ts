import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { infoCommand } from './info.js';

const sample = (name: string): string => path.resolve(import.meta.dirname, '../../../traces', name);

async function info(name: string, json = false): Promise<string> {
  let text = '';
  await infoCommand(
    { trace: sample(name), json },
    { out: (more) => (text += more), columns: () => Infinity },
  );
  return text;
}

describe('info', () => {
  it('prints what was recorded, on which processor', async () => {
    const text = await info('skylake-pku/xcr0probe');
    expect(text).toMatch(/^command +\S*xcr0probe$/m);
    expect(text).toMatch(/^XCR0 +0x207 \(x87, SSE, AVX, PKRU\)$/m);
    expect(text).toMatch(
      /^processor +Intel Core Processor \(Skylake\) \(GenuineIntel, family 6, model 94, /m,
    );
    expect(text).toMatch(/^features .* pku ospke /m);
    expect(text).toMatch(/^recorder +rr 5\.6\.0, system calls buffered, /m);
    expect(text).toMatch(/^machines +the host's KVM can/m);
    expect(text).toMatch(/^end +exited with status 0$/m);
    expect(text).toMatch(/^frames +125 in [\d.]+ s\n {2}syscall +109$/m);
  });

  it('as JSON holds the same', async () => {
    const facts = JSON.parse(await info('zen2/hello-static', true));
    expect(facts).toMatchObject({
      traceVersion: 85,
      xcr0: { value: '0x7', components: ['x87', 'SSE', 'AVX'] },
      processor: { vendor: 'AuthenticAMD', family: 23, model: 49 },
      quirks: ['pkeyAllocRecordedExtraRegs', 'bufferedSyscallForcedTick', 'usesGlobalsInReplay'],
      header: { rrcallBase: 1000, syscallbufFdsDisabledSize: 1024, syscallbufHdrSize: 30 },
      frames: 46,
      framesByEvent: { syscall: 45, exit: 1 },
      tasks: [{ events: ['exec', 'exit'] }],
      selfContained: true,
      exitStatus: 0,
      machines: [{ kind: 'host' }, { kind: 'process' }, { kind: 'emulated', tried: false }],
    });
  });

  it('says why a machine cannot replay it', async () => {
    expect(await info('haswell/ldt')).toMatch(
      /the process machine cannot replay it: Frame 113: task 118 gets a segment of its own/,
    );
    const { machines } = JSON.parse(await info('haswell/ldt', true)) as { machines: object[] };
    expect(machines[1]).toMatchObject({ kind: 'process', canReplay: false, tried: false });
  });
});
