/**
 * The register description for gdb: names, types and order of its standard features for x86-64 (gdb
 * manual, "i386 Features"), as far as the recording's processor had them.
 */
import type { RegisterName } from '../../engine/base/registers.js';
import { findComponent, PKRU_BIT, type XstateLayout } from '../../engine/x86/xstate-layout.js';
import {
  type Access,
  extended,
  fctrl,
  fioff,
  fiseg,
  fooff,
  fop,
  foseg,
  fstat,
  ftag,
  general,
  mxcsr,
  st,
  xmm,
} from './access.js';

export interface GdbRegister extends Access {
  readonly name: string;
  /** As in the target description. */
  readonly type: string;
  readonly group?: string;
}

interface Feature {
  readonly name: string;
  /** Types that the registers use, as XML. */
  readonly types: string;
  readonly registers: readonly GdbRegister[];
}

/** Bits of an AVX-512 trace's XCR0 (SDM vol. 1, 13.1). */
const [AVX_BIT, OPMASK_BIT, ZMM_HIGH_BIT, ZMM16_BIT] = [2, 5, 6, 7];

const range = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

// prettier-ignore
const GENERAL: readonly RegisterName[] = [
  'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip',
];
const POINTER_TYPES: Partial<Record<RegisterName, string>> = {
  rbp: 'data_ptr',
  rsp: 'data_ptr',
  rip: 'code_ptr',
};

// prettier-ignore
const EFLAGS: readonly [string, number, number?][] = [
  ['CF', 0], ['', 1], ['PF', 2], ['AF', 4], ['ZF', 6], ['SF', 7], ['TF', 8], ['IF', 9], ['DF', 10], ['OF', 11],
  ['NT', 14], ['RF', 16], ['VM', 17], ['AC', 18], ['VIF', 19], ['VIP', 20], ['ID', 21],
];
// prettier-ignore
const MXCSR_FLAGS: readonly [string, number, number?][] = [
  ['IE', 0], ['DE', 1], ['ZE', 2], ['OE', 3], ['UE', 4], ['PE', 5], ['DAZ', 6], ['IM', 7], ['DM', 8], ['ZM', 9],
  ['OM', 10], ['UM', 11], ['PM', 12], ['FZ', 15],
];

const flags = (id: string, fields: readonly [string, number, number?][]): string =>
  `<flags id="${id}" size="4">${fields
    .map(([name, start]) => `<field name="${name}" start="${start}" end="${start}"/>`)
    .join('')}</flags>`;

const vector = (id: string, type: string, count: number): string =>
  `<vector id="${id}" type="${type}" count="${count}"/>`;

const VECTOR_TYPES = [
  vector('v4f', 'ieee_single', 4),
  vector('v2d', 'ieee_double', 2),
  vector('v16i8', 'int8', 16),
  vector('v8i16', 'int16', 8),
  vector('v4i32', 'int32', 4),
  vector('v2i64', 'int64', 2),
  '<union id="vec128">',
  ...Object.entries({
    v4_float: 'v4f',
    v2_double: 'v2d',
    v16_int8: 'v16i8',
    v8_int16: 'v8i16',
    v4_int32: 'v4i32',
    v2_int64: 'v2i64',
    uint128: 'uint128',
  }).map(([name, type]) => `<field name="${name}" type="${type}"/>`),
  '</union>',
].join('');

function core(): Feature {
  const segment = (name: RegisterName): GdbRegister => ({ ...general(name, 4), name, type: 'int32' });
  const x87 = { fctrl, fstat, ftag, fiseg, fioff, foseg, fooff, fop };
  return {
    name: 'org.gnu.gdb.i386.core',
    types: flags('i386_eflags', EFLAGS),
    registers: [
      ...GENERAL.map((name) => ({ ...general(name), name, type: POINTER_TYPES[name] ?? 'int64' })),
      { ...general('eflags', 4), name: 'eflags', type: 'i386_eflags' },
      ...(['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const).map(segment),
      ...range(8, (index) => ({ ...st(index), name: `st${index}`, type: 'i387_ext' })),
      ...Object.entries(x87).map(([name, access]) => ({ ...access, name, type: 'int', group: 'float' })),
    ],
  };
}

const sse = (): Feature => ({
  name: 'org.gnu.gdb.i386.sse',
  types: VECTOR_TYPES + flags('i386_mxcsr', MXCSR_FLAGS),
  registers: [
    ...range(16, (index) => ({ ...xmm(index), name: `xmm${index}`, type: 'vec128' })),
    { ...mxcsr, name: 'mxcsr', type: 'i386_mxcsr', group: 'vector' },
  ],
});

const system = (): Feature[] => [
  {
    name: 'org.gnu.gdb.i386.linux',
    types: '',
    registers: [{ ...general('orig_rax'), name: 'orig_rax', type: 'int', group: 'system' }],
  },
  {
    name: 'org.gnu.gdb.i386.segments',
    types: '',
    registers: (['fs_base', 'gs_base'] as const).map((name) => ({ ...general(name), name, type: 'int' })),
  },
];

const avx = (layout: XstateLayout): Feature => ({
  name: 'org.gnu.gdb.i386.avx',
  types: '',
  registers: range(16, (index) => ({
    ...extended(layout, AVX_BIT, 16 * index, 16),
    name: `ymm${index}h`,
    type: 'uint128',
  })),
});

/** ZMM16 to ZMM31 are contiguous in one component; gdb splits them. */
const avx512 = (layout: XstateLayout): Feature => {
  const high = (
    name: string,
    bit: number,
    stride: number,
    start: number,
    size: number,
    count: number,
    first: number,
    type: string,
  ): GdbRegister[] =>
    range(count, (index) => ({
      ...extended(layout, bit, stride * index + start, size),
      name: name.replace('#', String(index + first)),
      type,
    }));
  return {
    name: 'org.gnu.gdb.i386.avx512',
    types: VECTOR_TYPES + vector('v2ui128', 'uint128', 2),
    registers: [
      ...high('k#', OPMASK_BIT, 8, 0, 8, 8, 0, 'uint64'),
      ...high('zmm#h', ZMM_HIGH_BIT, 32, 0, 32, 16, 0, 'v2ui128'),
      ...high('xmm#', ZMM16_BIT, 64, 0, 16, 16, 16, 'vec128'),
      ...high('ymm#h', ZMM16_BIT, 64, 16, 16, 16, 16, 'uint128'),
      ...high('zmm#h', ZMM16_BIT, 64, 32, 32, 16, 16, 'v2ui128'),
    ],
  };
};

const pkeys = (layout: XstateLayout): Feature => ({
  name: 'org.gnu.gdb.i386.pkeys',
  types: '',
  registers: [{ ...extended(layout, PKRU_BIT, 0, 4), name: 'pkru', type: 'uint32', group: 'system' }],
});

function featuresOf(layout: XstateLayout): Feature[] {
  const has = (bit: number): boolean => findComponent(layout, bit) !== undefined;
  const found = [core(), sse(), ...system()];
  if (has(AVX_BIT)) found.push(avx(layout));
  if (has(AVX_BIT) && has(OPMASK_BIT) && has(ZMM_HIGH_BIT) && has(ZMM16_BIT)) found.push(avx512(layout));
  if (has(PKRU_BIT)) found.push(pkeys(layout));
  return found;
}

export interface TargetDescription {
  /** In the order of gdb's numbers, from 0. */
  readonly registers: readonly GdbRegister[];
  /** Number of a register by its name. */
  readonly numbers: ReadonlyMap<string, number>;
  readonly xml: string;
}

/** What programs of a recording with this XSAVE layout have. */
export function describeTarget(layout: XstateLayout): TargetDescription {
  const features = featuresOf(layout);
  const registers = features.flatMap((feature) => feature.registers);
  const reg = ({ name, size, type, group }: GdbRegister): string =>
    `<reg name="${name}" bitsize="${8 * size}" type="${type}"${group ? ` group="${group}"` : ''}/>`;
  const body = features.map(
    ({ name, types, registers: own }) => `<feature name="${name}">${types}${own.map(reg).join('')}</feature>`,
  );
  const xml =
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>' +
    '<architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>' +
    `${body.join('')}</target>`;
  return { registers, numbers: new Map(registers.map(({ name }, index) => [name, index])), xml };
}
