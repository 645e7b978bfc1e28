/**
 * What this project exists for, shown from the other side: with the machine's own XCR0 in the guest instead of
 * the recorded one, the replay is lost, and the report says where and why.
 */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/engine/base/log.js';
import { Machine, type MachineConfig } from '../../src/engine/kvm/machine.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import { probe } from '../../src/engine/kvm/probe.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { DivergenceError, formatReport } from '../../src/engine/replay/report/report.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { machineConfig } from '../../src/machine/requirements.js';
import { describeMachines, useTransport } from '../kvm/guest.js';
import { toEnd } from './to-end.js';

const XSTATE_LEAF = 0xd;
/** XCR0. */
const RECORDED = 7n;
const sample = path.resolve(import.meta.dirname, '../../traces/haswell/xcr0probe');

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let transport: VcpuTransport;
  useTransport(kind, (opened) => (transport = opened));

  /** Replays the sample; returns its output. Throws if it diverges. */
  async function replay(
    change: (recorded: MachineConfig, native: MachineConfig) => MachineConfig,
  ): Promise<string> {
    const trace = TraceReader.open(sample);
    const machine = Machine.create(transport, change(machineConfig(trace.header), nativeConfig(transport)));
    probe(machine); // answers CPUID in software where it is not as wanted
    let printed = '';
    const session = ReplaySession.open({
      trace,
      machine,
      log: silentLogger,
      output: (_stream, bytes) => (printed += Buffer.from(bytes).toString()),
      memoryLimitBytes: 2 ** 28,
      stallLimitMicros: 60e6,
    });
    try {
      await toEnd(session);
      return printed;
    } finally {
      session.close();
      trace.close();
    }
  }

  describe('XCR0 in the guest', () => {
    it('as recorded: the program prints the recorded one', async (context) => {
      context.skip((nativeConfig(transport).xcr0 & RECORDED) !== RECORDED, 'this processor has no AVX');
      expect(await replay((recorded) => recorded)).toContain('xcr0 0x7\n');
    });

    it("the machine's own: diverges, and the report names frame, registers and code", async (context) => {
      context.skip(nativeConfig(transport).xcr0 === RECORDED, 'it is the recorded one');
      const withNativeXcr0 = (recorded: MachineConfig, native: MachineConfig): MachineConfig => ({
        ...recorded,
        xcr0: native.xcr0,
        cpuid: [
          ...recorded.cpuid.filter((entry) => entry.function !== XSTATE_LEAF),
          ...native.cpuid.filter((entry) => entry.function === XSTATE_LEAF),
        ],
      });
      let error: unknown = null;
      try {
        await replay(withNativeXcr0);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(DivergenceError);
      const { report } = error as DivergenceError;
      expect(report.registers.some((register) => register.differs)).toBe(true);
      expect(report.lastFrames.at(-1)?.frameTime).toBe(report.frameTime);
      expect(formatReport(report)).toMatch(/diverged at frame \d+, task \d+ \(xcr0probe\)/);
    });
  });
}
