/**
 * What can be executed in software where the processor lacks it (native/completion), and which state the processor may lack
 * for that: it is kept beside the vCPU.
 */
import {
  findLeaf,
  hardwareLayout,
  type CpuidLeaf,
  type XstateComponent,
  type XstateLayout,
} from './xstate-layout.js';

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';

/**
 * Groups of instructions by the bit of CPUID that announces them: those of native/completion/state.h, `Feature`, from the
 * bit that begins a list.
 */
type FeatureList = readonly [name: string, leaf: number, subleaf: number, register: Register, bit: number][];
const FEATURES: FeatureList = [
  ['AVX512F', 7, 0, 'ebx', 16],
  ['AVX512CD', 7, 0, 'ebx', 28],
  ['AVX512BW', 7, 0, 'ebx', 30],
  ['AVX512DQ', 7, 0, 'ebx', 17],
  ['AVX512VL', 7, 0, 'ebx', 31],
  ['AVX512IFMA', 7, 0, 'ebx', 21],
  ['AVX512VBMI', 7, 0, 'ecx', 1],
  ['AVX512VBMI2', 7, 0, 'ecx', 6],
  ['AVX512VNNI', 7, 0, 'ecx', 11],
  ['AVX512BITALG', 7, 0, 'ecx', 12],
  ['AVX512VPOPCNTDQ', 7, 0, 'ecx', 14],
  ['AVX512BF16', 7, 1, 'eax', 5],
  ['AVX512FP16', 7, 0, 'edx', 23],
  ['AVX512VP2INTERSECT', 7, 0, 'edx', 8],
  ['GFNI', 7, 0, 'ecx', 8],
  ['VAES', 7, 0, 'ecx', 9],
  ['VPCLMULQDQ', 7, 0, 'ecx', 10],
  ['AVX', 1, 0, 'ecx', 28],
  ['AVX2', 7, 0, 'ebx', 5],
  ['FMA', 1, 0, 'ecx', 12],
  ['F16C', 1, 0, 'ecx', 29],
  ['BMI1', 7, 0, 'ebx', 3],
  ['BMI2', 7, 0, 'ebx', 8],
  ['AES', 1, 0, 'ecx', 25],
  ['PCLMULQDQ', 1, 0, 'ecx', 1],
  ['AVX-VNNI', 7, 1, 'eax', 4],
  ['AMX-TILE', 7, 0, 'edx', 24],
  ['AMX-INT8', 7, 0, 'edx', 25],
  ['AMX-BF16', 7, 0, 'edx', 22],
  ['AMX-FP16', 7, 1, 'eax', 21],
  ['AMX-COMPLEX', 7, 1, 'edx', 8],
  ['AVX-IFMA', 7, 1, 'eax', 23],
];

/** Of instructions without VEX and EVEX, and what came to be executed after them. */
const LEGACY_FEATURES: FeatureList = [
  ['SSE3', 1, 0, 'ecx', 0],
  ['SSSE3', 1, 0, 'ecx', 9],
  ['SSE4.1', 1, 0, 'ecx', 19],
  ['SSE4.2', 1, 0, 'ecx', 20],
  ['SSE4A', 0x80000001, 0, 'ecx', 6],
  ['POPCNT', 1, 0, 'ecx', 23],
  ['LZCNT', 0x80000001, 0, 'ecx', 5],
  ['MOVBE', 1, 0, 'ecx', 22],
  ['ADX', 7, 0, 'ebx', 19],
  ['SHA', 7, 0, 'ebx', 29],
  ['CMPXCHG16B', 1, 0, 'ecx', 13],
  ['LAHF', 0x80000001, 0, 'ecx', 0],
  ['FSGSBASE', 7, 0, 'ebx', 0],
  ['CLFLUSHOPT', 7, 0, 'ebx', 23],
  ['CLWB', 7, 0, 'ebx', 24],
  ['CLZERO', 0x80000008, 0, 'ebx', 0],
  ['MOVDIRI', 7, 0, 'ecx', 27],
  ['MOVDIR64B', 7, 0, 'ecx', 28],
  ['SERIALIZE', 7, 0, 'edx', 14],
  ['PTWRITE', 0x14, 0, 'ebx', 4],
  ['WAITPKG', 7, 0, 'ecx', 5],
  ['XOP', 0x80000001, 0, 'ecx', 11],
  ['FMA4', 0x80000001, 0, 'ecx', 16],
  ['TBM', 0x80000001, 0, 'ecx', 21],
  ['AVX-VNNI-INT8', 7, 1, 'edx', 4],
  ['AVX-VNNI-INT16', 7, 1, 'edx', 10],
  ['AVX-NE-CONVERT', 7, 1, 'edx', 5],
  ['SHA512', 7, 1, 'eax', 0],
  ['SM3', 7, 1, 'eax', 1],
  ['SM4', 7, 1, 'eax', 2],
  ['CMPCCXADD', 7, 1, 'eax', 7],
];
const FIRST_LEGACY = 32;

const feature = (list: FeatureList, first: number): [name: string, bit: bigint][] =>
  list.map(([name], index) => [name, 1n << BigInt(first + index)]);
const BITS: ReadonlyMap<string, bigint> = new Map([
  ...feature(FEATURES, 0),
  ...feature(LEGACY_FEATURES, FIRST_LEGACY),
]);

/** The bit of `Feature` for RDFSBASE and kin, which CR4 permits. */
export const FSGSBASE_FEATURE = BITS.get('FSGSBASE') ?? 0n;

/** The bits of the groups of which LZCNT and TZCNT are: without them they do not raise #UD, but mean BSR and BSF. */
export const LZCNT_FEATURE = BITS.get('LZCNT') ?? 0n;
export const BMI1_FEATURE = BITS.get('BMI1') ?? 0n;

/** Names of the groups that can be executed in software. */
export const COMPLETED_FEATURES: ReadonlySet<string> = new Set(BITS.keys());

const AVX_STATE = 1n << 2n;
/** opmask, ZMM_Hi256 and Hi16_ZMM: XCR0 has all or none. */
const AVX512_STATE = 0xe0n;
const AVX512_FEATURES = 14;
const YMM_FEATURES: ReadonlySet<string> = new Set([
  ...['AVX', 'AVX2', 'FMA', 'F16C', 'AVX-VNNI', 'AVX-IFMA', 'AVX-VNNI-INT8', 'AVX-VNNI-INT16'],
  ...['AVX-NE-CONVERT', 'SHA512', 'SM3', 'SM4', 'XOP', 'FMA4'],
]);

/** PKRU. RDPKRU and WRPKRU are completed, too; that keys forbid accesses is not. */
export const PROTECTION_KEYS = 1n << 9n;

/** XTILECFG and XTILEDATA. */
export const AMX_STATE = 0x6_0000n;

/** R16 to R31, for programs that use none of them: no instruction of APX is executed. */
const APX_STATE = 0x8_0000n;

/** The state without which a group is not executed. */
const stateOf = (name: string, index: number): bigint => {
  if (index < AVX512_FEATURES) return AVX512_STATE;
  if (name.startsWith('AMX')) return AMX_STATE;
  return YMM_FEATURES.has(name) ? AVX_STATE : 0n;
};

/** Components of XCR0 that the processor may lack. */
export const COMPLETED_STATE = AVX_STATE | AVX512_STATE | PROTECTION_KEYS | AMX_STATE | APX_STATE;

/** Feature bits (state.h) of what these CPUID results announce and `xcr0` permits. */
export function completionFeatures(records: readonly CpuidLeaf[], xcr0: bigint): bigint {
  let set = 0n;
  [...FEATURES, ...LEGACY_FEATURES].forEach(([name, leaf, subleaf, register, bit], index) => {
    const has = ((findLeaf(records, leaf, subleaf)?.[register] ?? 0) >>> bit) & 1;
    const state = stateOf(name, index);
    if (has && (xcr0 & state) === state) set |= BITS.get(name) ?? 0n;
  });
  return set;
}

/** The XCR0 that a processor which has `supported` gets for a recording: what is left is kept beside it. */
export function processorXcr0(recorded: bigint, supported: bigint): bigint {
  let xcr0 = recorded;
  const missing = recorded & ~supported & COMPLETED_STATE;
  if (missing & (AVX_STATE | AVX512_STATE)) xcr0 &= ~AVX512_STATE;
  if (missing & AMX_STATE) xcr0 &= ~AMX_STATE;
  xcr0 &= ~(missing & APX_STATE);
  if (missing & PROTECTION_KEYS) xcr0 &= ~PROTECTION_KEYS;
  if (missing & AVX_STATE) xcr0 &= ~AVX_STATE;
  return xcr0;
}

const ALIGNMENT = 64;

/**
 * Where a machine has the components of a recording: the processor's own, whose XCR0 is `xcr0`, as it has them, the others
 * behind them.
 * @throws RevenantError E_MACHINE_CANNOT when a component of `xcr0` is not enumerated.
 */
export function machineLayout(
  records: readonly CpuidLeaf[],
  recorded: XstateLayout,
  xcr0: bigint,
): XstateLayout {
  const own = hardwareLayout(records, xcr0 & recorded.xcr0);
  let end = own.size;
  const beside: XstateComponent[] = [];
  for (const component of recorded.components) {
    if (own.components.some(({ bit }) => bit === component.bit)) continue;
    const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    beside.push({ ...component, offset });
    end = offset + component.size;
  }
  const components = [...own.components, ...beside].sort((a, b) => a.bit - b.bit);
  return { xcr0: recorded.xcr0, size: end, components };
}
