/** /proc/cpuinfo, from the recorded CPUID. */
import { findEntry } from '../../engine/kvm/cpuid.js';
import type { CpuidEntry } from '../../engine/kvm/control.js';

type Output = 'eax' | 'ebx' | 'ecx' | 'edx';

/** Names of bits 0 to 31 as Linux shows them, `-` where it shows none (arch/x86/include/asm/cpufeatures.h). */
const FLAGS: readonly (readonly [leaf: number, index: number, output: Output, names: string])[] = [
  [
    1,
    0,
    'edx',
    'fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe',
  ],
  [
    0x8000_0001,
    0,
    'edx',
    '- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow',
  ],
  [
    1,
    0,
    'ecx',
    'pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor',
  ],
  [
    0x8000_0001,
    0,
    'ecx',
    'lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx',
  ],
  [
    7,
    0,
    'ebx',
    'fsgsbase tsc_adjust - bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl',
  ],
  [0xd, 1, 'eax', 'xsaveopt xsavec xgetbv1 xsaves'],
  [
    7,
    0,
    'ecx',
    '- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - - cldemote - movdiri movdir64b',
  ],
];

const BRAND = [0x8000_0002, 0x8000_0003, 0x8000_0004] as const;

function text(values: readonly number[]): string {
  return Buffer.from(Uint32Array.from(values, (value) => value >>> 0).buffer)
    .toString('latin1')
    .replace(/\0.*$/s, '')
    .trim();
}

/** Vendor, name and other fields that programs read; speeds, which vary, are omitted. */
export function cpuInfo(cpuid: readonly CpuidEntry[], number: number): string {
  const first = findEntry(cpuid, 0);
  const signature = findEntry(cpuid, 1)?.eax ?? 0;
  const base = (signature >>> 8) & 0xf;
  const family = base === 0xf ? base + ((signature >>> 20) & 0xff) : base;
  const model = ((signature >>> 4) & 0xf) | (base >= 6 ? ((signature >>> 16) & 0xf) << 4 : 0);
  const brand = BRAND.flatMap((leaf) => {
    const entry = findEntry(cpuid, leaf);
    return entry ? [entry.eax, entry.ebx, entry.ecx, entry.edx] : [];
  });
  const flags = FLAGS.flatMap(([leaf, index, output, names]) => {
    const bits = findEntry(cpuid, leaf, index)?.[output] ?? 0;
    return names.split(' ').filter((name, bit) => name !== '-' && (bits >>> bit) & 1);
  });
  const fields: readonly (readonly [string, string | number])[] = [
    ['processor', number],
    ['vendor_id', text([first?.ebx ?? 0, first?.edx ?? 0, first?.ecx ?? 0])],
    ['cpu family', family],
    ['model', model],
    ['model name', text(brand)],
    ['stepping', signature & 0xf],
    ['physical id', 0],
    ['siblings', 1],
    ['core id', number],
    ['cpu cores', 1],
    ['fpu', 'yes'],
    ['cpuid level', first?.eax ?? 0],
    ['wp', 'yes'],
    ['flags', flags.join(' ')],
    ['clflush size', 64],
    ['cache_alignment', 64],
  ];
  return `${fields.map(([name, value]) => `${name.padEnd(15).replace(/ +$/, '\t')}\t: ${value}`).join('\n')}\n\n`;
}
