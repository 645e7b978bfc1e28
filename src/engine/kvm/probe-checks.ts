/** The checks of the probe that compare tables. */
import { componentName, type XstateLayout } from '../x86/xstate-layout.js';
import { CPUID_INDEX_SIGNIFICANT, type CpuidEntry } from './control.js';
import { Exit } from './exit.js';
import { DATA, DATA_SIZE, type ProbeGuest } from './probe-guest.js';
import { programs } from './probe-programs.js';

/** The result of one check. */
export interface Finding {
  name: string;
  expected: string;
  seen: string;
  ok: boolean;
}

export const EFLAGS_TF = 0x100n;
const BP = 3;
const RECORD_WORDS = 6;
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** Executes CPUID for every entry (as far as the pages reach); one finding, and one for each difference. */
export function checkCpuid(guest: ProbeGuest, entries: readonly CpuidEntry[]): Finding[] {
  const words = new Uint32Array(guest.data.buffer, guest.data.byteOffset, DATA_SIZE / 4);
  const asked = entries.slice(0, Math.floor(words.length / RECORD_WORDS) - 1);
  const name = 'CPUID';
  const expected = `${asked.length} results as recorded`;
  asked.forEach((entry, i) => words.set([entry.function, entry.index, 0, 0, 0, 0], i * RECORD_WORDS));
  if (asked.length === 0) return [];
  const outcome = guest.run(programs.cpuidLoop, { rsi: BigInt(DATA), rdi: BigInt(asked.length) });
  if (outcome.exit !== Exit.Exception || outcome.vector !== BP) {
    return [{ name, expected, seen: outcome.text, ok: false }];
  }
  const findings: Finding[] = [];
  asked.forEach((entry, i) => {
    const results = words.subarray(i * RECORD_WORDS + 2, (i + 1) * RECORD_WORDS);
    (['eax', 'ebx', 'ecx', 'edx'] as const).forEach((register, r) => {
      if (results[r] === entry[register] >>> 0) return;
      const index = entry.flags & CPUID_INDEX_SIGNIFICANT ? `.${entry.index}` : '';
      findings.push({
        name: `CPUID ${hex(entry.function)}${index} ${register.toUpperCase()}`,
        expected: hex(entry[register] >>> 0),
        seen: hex(results[r]),
        ok: false,
      });
    });
  });
  const differing = findings.length;
  const seen = differing === 0 ? expected : `${differing} of ${4 * asked.length} registers differ`;
  return [{ name, expected, seen, ok: differing === 0 }, ...findings];
}

/** [first, last + 1) of the bytes that a store changed, found by running it over two fill patterns. */
function writtenRange(guest: ProbeGuest, mask: bigint, from: number): [number, number] | string {
  const written = new Uint8Array(DATA_SIZE);
  for (const filling of [0x00, 0xa5]) {
    guest.data.fill(filling);
    guest.data.fill(0, 512, 576); // XSAVE reads the header
    const outcome = guest.run(programs.xsave, {
      rdi: BigInt(DATA),
      rax: mask & 0xffff_ffffn,
      rdx: mask >> 32n,
    });
    if (outcome.exit !== Exit.Exception || outcome.vector !== BP) return outcome.text;
    guest.data.forEach((byte, i) => {
      if (byte !== filling) written[i] = 1;
    });
  }
  const first = written.indexOf(1, from);
  return first < 0 ? [from, from] : [first, written.lastIndexOf(1) + 1];
}

/** Where XSAVE stores each extended component, and that nothing follows the last. */
export function checkXsaveLayout(guest: ProbeGuest, layout: XstateLayout): Finding[] {
  const findings: Finding[] = [];
  for (const { bit, offset, size } of layout.components) {
    const range = writtenRange(guest, 1n << BigInt(bit), 576);
    const name = `XSAVE component ${bit} (${componentName(bit)})`;
    const expected = `bytes ${offset} to ${offset + size}`;
    if (typeof range === 'string') {
      findings.push({ name, expected, seen: range, ok: false });
      continue;
    }
    // Reserved bytes at a component's end need not be written (PKRU: 4 of 8).
    const ok = range[0] === offset && range[1] > offset && range[1] <= offset + size;
    findings.push({ name, expected, seen: `bytes ${range[0]} to ${range[1]}`, ok });
  }
  const all = writtenRange(guest, layout.xcr0, 0);
  const expected = `at most ${layout.size} bytes`;
  const seen = typeof all === 'string' ? all : `${all[1]} bytes`;
  findings.push({ name: 'XSAVE area', expected, seen, ok: typeof all !== 'string' && all[1] <= layout.size });
  return findings;
}
