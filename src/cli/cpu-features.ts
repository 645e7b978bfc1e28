import type { CpuidRecord, TraceHeader } from '../engine/trace/records.js';

/** [leaf, subleaf, register, bit, name]: features by which programs and libraries select code. */
type Feature = readonly [number, number, 'eax' | 'ebx' | 'ecx' | 'edx', number, string];

const FEATURES: readonly Feature[] = [
  [1, 0, 'ecx', 0, 'sse3'],
  [1, 0, 'ecx', 9, 'ssse3'],
  [1, 0, 'ecx', 19, 'sse4_1'],
  [1, 0, 'ecx', 20, 'sse4_2'],
  [1, 0, 'ecx', 23, 'popcnt'],
  [1, 0, 'ecx', 25, 'aes'],
  [1, 0, 'ecx', 1, 'pclmulqdq'],
  [1, 0, 'ecx', 28, 'avx'],
  [1, 0, 'ecx', 12, 'fma'],
  [1, 0, 'ecx', 29, 'f16c'],
  [1, 0, 'ecx', 30, 'rdrand'],
  [7, 0, 'ebx', 18, 'rdseed'],
  [7, 0, 'ebx', 3, 'bmi1'],
  [7, 0, 'ebx', 8, 'bmi2'],
  [7, 0, 'ebx', 5, 'avx2'],
  [7, 0, 'ebx', 29, 'sha_ni'],
  [7, 0, 'ebx', 9, 'erms'],
  [7, 0, 'edx', 4, 'fsrm'],
  [7, 0, 'ebx', 11, 'rtm'],
  [7, 0, 'ebx', 16, 'avx512f'],
  [7, 0, 'ebx', 17, 'avx512dq'],
  [7, 0, 'ebx', 30, 'avx512bw'],
  [7, 0, 'ebx', 31, 'avx512vl'],
  [7, 0, 'ecx', 1, 'avx512vbmi'],
  [7, 0, 'ecx', 9, 'vaes'],
  [7, 0, 'edx', 24, 'amx_tile'],
  [7, 0, 'ebx', 0, 'fsgsbase'],
  [7, 0, 'ecx', 2, 'umip'],
  [7, 0, 'ecx', 3, 'pku'],
  [7, 0, 'ecx', 4, 'ospke'],
  [1, 0, 'ecx', 26, 'xsave'],
  [1, 0, 'ecx', 27, 'osxsave'],
  [0xd, 1, 'eax', 0, 'xsaveopt'],
  [0xd, 1, 'eax', 1, 'xsavec'],
  [0xd, 1, 'eax', 2, 'xgetbv1'],
  [0xd, 1, 'eax', 3, 'xsaves'],
  [0x8000_0001, 0, 'edx', 27, 'rdtscp'],
];

export function cpuidLeaf(header: TraceHeader, eax: number, ecx: number): CpuidRecord | undefined {
  return header.cpuidRecords.find((r) => r.eaxIn === eax && (r.ecxIn === ecx || r.ecxIn === 0xffff_ffff));
}

/** Features in the recorded CPUID, with Linux's names. */
export function recordedFeatures(header: TraceHeader): string[] {
  return FEATURES.filter(([eax, ecx, register, bit]) => {
    const leaf = cpuidLeaf(header, eax, ecx);
    return leaf !== undefined && ((leaf[register] >>> bit) & 1) === 1;
  }).map((feature) => feature[4]);
}

export interface CpuModel {
  vendor: string;
  family: number;
  model: number;
  stepping: number;
}

/** Vendor and version from leaves 0 and 1 (Intel SDM, CPUID: extended family and model are added). */
export function recordedModel(header: TraceHeader): CpuModel | null {
  const vendor = cpuidLeaf(header, 0, 0);
  const version = cpuidLeaf(header, 1, 0);
  if (!vendor || !version) return null;
  const bytes = new Uint8Array(new Uint32Array([vendor.ebx, vendor.edx, vendor.ecx]).buffer);
  const baseFamily = (version.eax >>> 8) & 15;
  return {
    vendor: Buffer.from(bytes)
      .toString('latin1')
      .replace(/[^\x20-\x7e]/g, ''),
    family: baseFamily === 15 ? 15 + ((version.eax >>> 20) & 0xff) : baseFamily,
    model: ((version.eax >>> 4) & 15) + (((version.eax >>> 16) & 15) << 4),
    stepping: version.eax & 15,
  };
}
