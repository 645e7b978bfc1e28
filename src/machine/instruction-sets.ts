/** Instructions that CPUID announces: the recorded program may use them, so the machine should have them. */
import { COMPLETED_FEATURES } from '../engine/x86/completion.js';
import type { CpuidLeaf } from '../engine/x86/xstate-layout.js';
import { findLeaf } from '../engine/x86/xstate-layout.js';

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
type Bits = Record<number, string>;

/** Intel SDM vol. 2 (CPUID), AMD APM vol. 3 appendix E; only what programs at CPL 3 can execute. */
const ANNOUNCED: readonly [leaf: number, subleaf: number, register: Register, bits: Bits][] = [
  [
    1,
    0,
    'ecx',
    { 0: 'SSE3', 1: 'PCLMULQDQ', 9: 'SSSE3', 12: 'FMA', 13: 'CMPXCHG16B', 19: 'SSE4.1', 20: 'SSE4.2' },
  ],
  [1, 0, 'ecx', { 22: 'MOVBE', 23: 'POPCNT', 25: 'AES', 28: 'AVX', 29: 'F16C', 30: 'RDRAND' }],
  [7, 0, 'ebx', { 0: 'FSGSBASE', 3: 'BMI1', 4: 'HLE', 5: 'AVX2', 8: 'BMI2', 11: 'RTM', 14: 'MPX' }],
  [7, 0, 'ebx', { 16: 'AVX512F', 17: 'AVX512DQ', 18: 'RDSEED', 19: 'ADX', 21: 'AVX512IFMA' }],
  [
    7,
    0,
    'ebx',
    {
      23: 'CLFLUSHOPT',
      24: 'CLWB',
      26: 'AVX512PF',
      27: 'AVX512ER',
      28: 'AVX512CD',
      29: 'SHA',
      30: 'AVX512BW',
      31: 'AVX512VL',
    },
  ],
  [7, 0, 'ecx', { 1: 'AVX512VBMI', 3: 'PKU', 6: 'AVX512VBMI2', 8: 'GFNI', 9: 'VAES', 10: 'VPCLMULQDQ' }],
  [7, 0, 'ecx', { 5: 'WAITPKG', 11: 'AVX512VNNI', 12: 'AVX512BITALG', 14: 'AVX512VPOPCNTDQ', 22: 'RDPID' }],
  [7, 0, 'ecx', { 27: 'MOVDIRI', 28: 'MOVDIR64B' }],
  [7, 0, 'edx', { 8: 'AVX512VP2INTERSECT', 14: 'SERIALIZE', 22: 'AMX-BF16', 23: 'AVX512FP16' }],
  [7, 0, 'edx', { 24: 'AMX-TILE', 25: 'AMX-INT8' }],
  [7, 0, 'ecx', { 23: 'KEYLOCKER', 29: 'ENQCMD' }],
  [7, 0, 'edx', { 2: 'AVX512_4VNNIW', 3: 'AVX512_4FMAPS', 5: 'UINTR' }],
  [7, 1, 'eax', { 0: 'SHA512', 1: 'SM3', 2: 'SM4', 3: 'RAO-INT', 4: 'AVX-VNNI', 5: 'AVX512BF16' }],
  [7, 1, 'eax', { 7: 'CMPCCXADD', 21: 'AMX-FP16', 23: 'AVX-IFMA' }],
  [
    7,
    1,
    'edx',
    { 4: 'AVX-VNNI-INT8', 5: 'AVX-NE-CONVERT', 8: 'AMX-COMPLEX', 10: 'AVX-VNNI-INT16', 21: 'APX' },
  ],
  [0xd, 1, 'eax', { 0: 'XSAVEOPT', 1: 'XSAVEC', 2: 'XGETBV(1)' }],
  [
    0x80000001,
    0,
    'ecx',
    { 0: 'LAHF', 5: 'LZCNT', 6: 'SSE4A', 11: 'XOP', 15: 'LWP', 16: 'FMA4', 21: 'TBM', 29: 'MONITORX' },
  ],
  [0x80000001, 0, 'edx', { 27: 'RDTSCP', 31: '3DNow' }],
  [0x80000008, 0, 'ebx', { 0: 'CLZERO', 4: 'RDPRU', 8: 'MCOMMIT' }],
];

/** What the engine does in their place where the processor raises an exception, even where nothing else is completed. */
const IN_SOFTWARE: ReadonlySet<string> = new Set(['XSAVEC', 'RDPID', 'RDTSCP']);

/** Names of the instruction sets that these CPUID results announce. */
export function announcedInstructions(records: readonly CpuidLeaf[]): string[] {
  return ANNOUNCED.flatMap(([leaf, subleaf, register, bits]) => {
    const value = findLeaf(records, leaf, subleaf)?.[register] ?? 0;
    return Object.entries(bits)
      .filter(([bit]) => (value >>> Number(bit)) & 1)
      .map(([, name]) => name);
  });
}

export interface MissingInstructions {
  /** Completed in software. */
  emulated: string[];
  /** The replay stops where the program executes one. */
  absent: string[];
}

/**
 * What a recording announces and a machine lacks.
 * @param completes that the machine executes what it lacks in software: see completion.ts
 */
export function missingInstructions(
  recorded: readonly CpuidLeaf[],
  here: readonly CpuidLeaf[],
  completes = false,
): MissingInstructions {
  const has = new Set(announcedInstructions(here));
  const missing = announcedInstructions(recorded).filter((name) => !has.has(name));
  const isCompleted = (name: string): boolean =>
    IN_SOFTWARE.has(name) || (completes && COMPLETED_FEATURES.has(name));
  return {
    emulated: missing.filter(isCompleted),
    absent: missing.filter((name) => !isCompleted(name)),
  };
}
