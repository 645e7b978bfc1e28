/**
 * Traces of processors whose XSAVE layout differs from the machine's: the program must find each component at the
 * offset in its CPUID.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findEntry } from '../../src/engine/kvm/cpuid.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { TraceReader } from '../../src/engine/trace/reader.js';
import { describeMachines, useTransport } from '../kvm/guest.js';
import { openWithAmx, openWithLayout } from './made-up-layout.js';
import { replayWhole } from './open-session.js';

const root = path.resolve(import.meta.dirname, '../..');
const AVX = 2 as const;
const PKRU = 9 as const;
const XSTATE_LEAF = 0xd;
/** EDX of CPUID leaf 7. */
const AMX_TILE = 1 << 24;
const MAX_TURNS = 100_000;

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let transport: VcpuTransport;
  useTransport(kind, (opened) => (transport = opened));

  const replay = (folder: string, offsets: Record<number, number>): { stdout: string; completed: number } =>
    replayed(openWithLayout(folder, offsets));

  function replayed(trace: TraceReader): { stdout: string; completed: number } {
    const whole = replayWhole(transport, trace, MAX_TURNS);
    expect(whole.notes.join()).toContain('completed in software, in the recorded layout');
    return whole;
  }

  const sample = (name: string): { folder: string; expected: string } => {
    const folder = path.join(root, 'traces', name);
    return { folder, expected: fs.readFileSync(path.join(folder, 'expected_stdout'), 'utf8') };
  };

  it('state of AMX that no program uses is kept beside a processor without it', (context) => {
    const leaf = findEntry(nativeConfig(transport).cpuid, 7);
    context.skip(((leaf?.edx ?? 0) & AMX_TILE) !== 0, 'this processor has AMX');
    const { folder, expected } = sample('skylake-pku/tree');
    const { stdout, completed } = replayed(openWithAmx(folder));
    expect(stdout).toBe(expected);
    expect(completed).toBeGreaterThan(0);
  });

  describe('components at other offsets', () => {
    it('are where CPUID says, which is the recording processor’s', () => {
      const { folder, expected } = sample('skylake-pku/xcr0probe');
      // As many digits as recorded: what the program prints goes through registers.
      const { stdout } = replay(folder, { [AVX]: 640, [PKRU]: 1024 });
      expect(stdout).toBe(
        expected
          .replaceAll('2696', '1032')
          .replace('offset 2688', 'offset 1024')
          .replace('offset 576', 'offset 640'),
      );
    });

    it.for([
      ['as AMD has them', { [AVX]: 576, [PKRU]: 832 }],
      ['with an artificial layout', { [AVX]: 1024, [PKRU]: 640 }],
    ] as const)('are saved and restored by every instruction of the family: %s', ([, offsets], context) => {
      const { cpuid } = nativeConfig(transport);
      const isHere = [AVX, PKRU].every((bit) => findEntry(cpuid, XSTATE_LEAF, bit)?.ebx === offsets[bit]);
      context.skip(isHere, 'this processor has them there');
      const { folder, expected } = sample('skylake-pku/xsave');
      const { stdout, completed } = replay(folder, offsets);
      expect(stdout).toBe(expected);
      expect(completed).toBeGreaterThan(30);
    });

    it('do not disturb a program that does not use them', () => {
      const { folder, expected } = sample('skylake-pku/tree');
      expect(replay(folder, { [AVX]: 1024, [PKRU]: 640 }).stdout).toBe(expected);
    });

    it('leave signals, faults and XSAVEC as they are', () => {
      const faults = sample('haswell/faults');
      expect(replay(faults.folder, { [AVX]: 1088 }).stdout).toBe(faults.expected);
      const crash = sample('zen2/crash'); // recorded with XSAVEC
      expect(replay(crash.folder, { [AVX]: 1088 }).stdout).toBe(crash.expected);
    });
  });
}
