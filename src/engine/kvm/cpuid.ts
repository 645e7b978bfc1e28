/**
 * From recorded CPUID results to KVM's CPUID table and the control register bits that go with them.
 *
 * KVM (kvm_cpuid in arch/x86/kvm/cpuid.c, Linux 6.1) takes the first entry of a leaf whose index is not
 * significant or equals ECX, which is rr's own rule. Leaves that are not listed read as zero where the
 * listed vendor is AMD or Hygon, and as the highest basic leaf beyond a range's end elsewhere, as real
 * processors of these vendors do. Values that KVM computes are as recorded because their inputs are:
 *
 *   leaf 1 ECX.OSXSAVE, leaf 7 ECX.OSPKE     from CR4, set by cr4FromTrace()
 *   leaf 1 EDX.APIC                          from the APIC base, set by Machine
 *   leaf 0xD EBX, (0xD, 1) EBX               from XCR0, IA32_XSS and the *hardware's* component offsets
 *   leaf 1 ECX.MONITOR                       left alone (quirk MISC_ENABLE_NO_MWAIT is on by default)
 *
 * Not so (0xD, 1) EBX of a kernel with supervisor state, such as shadow stacks (Linux 6.6), PASID or architectural
 * LBRs: the guest's IA32_XSS is 0. Other versions of KVM, or a hypervisor below it, may compute
 * more. So there is no fixed list of leaves: if the probe sees any result that differs from the
 * recorded one, CPUID is made to fault and answered by cpuidResult(). cpuidDifferences() reports
 * KVM's own table.
 */
import { RevenantError } from '../base/errors.js';
import { CPUID_INDEX_SIGNIFICANT, type CpuidEntry } from './control.js';
import { MAX_CPUID_ENTRIES } from './layout.js';

/** One result of CPUID; `ecxIn` 0xffffffff: does not depend on ECX. Equal to the trace's records. */
export interface CpuidRecord {
  eaxIn: number;
  ecxIn: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

const ANY_INDEX = 0xffff_ffff;

export const Cr4 = {
  TSD: 1 << 2,
  UMIP: 1 << 11,
  FSGSBASE: 1 << 16,
  OSXSAVE: 1 << 18,
  PKE: 1 << 22,
} as const;

/** KVM's table. Throws E_MACHINE_CANNOT when there are more records than KVM takes. */
export function cpuidEntries(records: readonly CpuidRecord[]): CpuidEntry[] {
  const seen = new Set<string>();
  const entries: CpuidEntry[] = [];
  for (const { eaxIn, ecxIn, eax, ebx, ecx, edx } of records) {
    const any = ecxIn >>> 0 === ANY_INDEX;
    const index = any ? 0 : ecxIn >>> 0;
    const whole = `${eaxIn}`;
    const key = any ? whole : `${eaxIn}.${index}`;
    if (seen.has(whole) || seen.has(key)) continue; // an earlier record wins
    seen.add(key);
    const flags = any ? 0 : CPUID_INDEX_SIGNIFICANT;
    entries.push({ function: eaxIn >>> 0, index, flags, eax, ebx, ecx, edx });
  }
  if (entries.length > MAX_CPUID_ENTRIES) {
    throw new RevenantError(
      'E_MACHINE_CANNOT',
      `The trace records ${entries.length} results of CPUID; a machine takes ${MAX_CPUID_ENTRIES}.`,
    );
  }
  return entries;
}

/** The inverse of cpuidEntries(), for what KVM reports. */
export function cpuidRecords(entries: readonly CpuidEntry[]): CpuidRecord[] {
  return entries.map(({ function: eaxIn, index, flags, eax, ebx, ecx, edx }) => ({
    eaxIn,
    ecxIn: flags & CPUID_INDEX_SIGNIFICANT ? index : ANY_INDEX,
    eax,
    ebx,
    ecx,
    edx,
  }));
}

/** The entry that CPUID answers from; undefined = see the file's comment. */
export function findEntry(entries: readonly CpuidEntry[], leaf: number, index = 0): CpuidEntry | undefined {
  return entries.find(
    (entry) => entry.function === leaf && (!(entry.flags & CPUID_INDEX_SIGNIFICANT) || entry.index === index),
  );
}

/** Of CPUID(1): that the processor has XSAVE, and that the kernel lets programs use it. */
export const Leaf1Ecx = { XSAVE: 1 << 26, OSXSAVE: 1 << 27 } as const;

/** x87 and SSE, which no processor needs XSAVE for. */
const LEGACY_STATE = 3n;

/** The XCR0 bits of KVM_GET_SUPPORTED_CPUID. */
export function supportedXcr0(hardware: readonly CpuidEntry[]): bigint {
  const leaf = findEntry(hardware, 0xd);
  return LEGACY_STATE | (leaf ? (BigInt(leaf.edx >>> 0) << 32n) | BigInt(leaf.eax >>> 0) : 0n);
}

export type CpuidResult = Pick<CpuidEntry, 'eax' | 'ebx' | 'ecx' | 'edx'>;

const ZERO: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
/** EBX of leaf 0: "Auth", "Hygo". */
const VENDORS_WITH_ZEROS: readonly number[] = [0x6874_7541, 0x6f67_7948];
/** Leaves whose index and EDX are passed through beyond their last entry. */
const TOPOLOGY_LEAVES: readonly number[] = [0xb, 0x1f];

/** What CPUID returns, as KVM computes it from its table (kvm_cpuid), for where the instruction is made to fault. */
export function cpuidResult(entries: readonly CpuidEntry[], leaf: number, index: number): CpuidResult {
  const entry = findEntry(entries, leaf, index);
  if (entry) return entry;
  if (TOPOLOGY_LEAVES.includes(leaf)) {
    const first = findEntry(entries, leaf, 1);
    if (first) return { ...ZERO, ecx: index & 0xff, edx: first.edx };
  }
  const root = findEntry(entries, 0);
  if (!root || VENDORS_WITH_ZEROS.includes(root.ebx >>> 0)) return ZERO;
  const range = findEntry(entries, leaf & 0x8000_0000 ? 0x8000_0000 : 0);
  if (range && leaf <= range.eax >>> 0) return ZERO;
  return findEntry(entries, root.eax, index) ?? ZERO;
}

/**
 * CR4 bits as the recording kernel had set them. FSGSBASE: Linux turns it on from 5.9 where the
 * processor has it; `kernelRelease` (uname -r, may be empty) identifies older ones. UMIP: from 4.15.
 * TSD always: RDTSC has to trap.
 */
export function cr4FromTrace(records: readonly CpuidRecord[], kernelRelease = ''): number {
  const entries = cpuidEntries(records);
  const leaf1 = findEntry(entries, 1);
  const leaf7 = findEntry(entries, 7);
  let cr4: number = Cr4.TSD;
  if (leaf1 && leaf1.ecx & Leaf1Ecx.OSXSAVE) cr4 |= Cr4.OSXSAVE;
  if (leaf7 && leaf7.ebx & 1 && !isOlder(kernelRelease, 5, 9)) cr4 |= Cr4.FSGSBASE;
  if (leaf7 && leaf7.ecx & (1 << 4)) cr4 |= Cr4.PKE;
  if (leaf7 && leaf7.ecx & (1 << 2) && !isOlder(kernelRelease, 4, 15)) cr4 |= Cr4.UMIP;
  return cr4;
}

/** Which of the instructions that CR4.UMIP forbids the recording kernel answers itself in 64-bit programs. */
export type UmipAnswers = 'nothing' | 'tables' | 'all';

/**
 * SGDT, SIDT and SMSW from Linux 5.4 on, SLDT and STR too from 5.10 (arch/x86/kernel/umip.c);
 * before, and without CR4.UMIP, the processor's own results.
 */
export function umipAnswers(cr4: number, kernelRelease = ''): UmipAnswers {
  if (!(cr4 & Cr4.UMIP) || isOlder(kernelRelease, 5, 4)) return 'nothing';
  return isOlder(kernelRelease, 5, 10) ? 'tables' : 'all';
}

function isOlder(release: string, major: number, minor: number): boolean {
  const parsed = /^(\d+)\.(\d+)/.exec(release);
  if (!parsed) return false;
  const [have, haveMinor] = [Number(parsed[1]), Number(parsed[2])];
  return have < major || (have === major && haveMinor < minor);
}

/** One register of one leaf with another value than requested. */
export interface CpuidDifference {
  leaf: number;
  index: number;
  register: 'eax' | 'ebx' | 'ecx' | 'edx';
  expected: number;
  seen: number;
}

/** What differs in `actual` (KVM_GET_CPUID2 after everything is set) from `wanted`. */
export function cpuidDifferences(
  wanted: readonly CpuidEntry[],
  actual: readonly CpuidEntry[],
): CpuidDifference[] {
  const differences: CpuidDifference[] = [];
  for (const entry of wanted) {
    const found = findEntry(actual, entry.function, entry.index);
    for (const register of ['eax', 'ebx', 'ecx', 'edx'] as const) {
      const [expected, seen] = [entry[register] >>> 0, (found?.[register] ?? 0) >>> 0];
      if (expected !== seen) {
        differences.push({ leaf: entry.function, index: entry.index, register, expected, seen });
      }
    }
  }
  return differences;
}

/** "CPUID 0xd.0 EBX is 0x348, recorded 0xa88". */
export function describeDifference({ leaf, index, register, expected, seen }: CpuidDifference): string {
  const hex = (value: number): string => `0x${value.toString(16)}`;
  return `CPUID ${hex(leaf)}.${index} ${register.toUpperCase()} is ${hex(seen)}, recorded ${hex(expected)}`;
}
