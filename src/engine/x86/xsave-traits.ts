/**
 * Implementation-defined behaviour of XSAVE-family stores, by processor. Completion in software follows the recording's
 * processor.
 *
 *   Intel (measured on Sapphire Rapids): all bytes of every component; XINUSE[i] is what XRSTOR found in XSTATE_BV, zero
 *     registers or not, except XTILECFG's, which follows the register. XSAVE64 stores FIP and FDP always.
 *   AMD (XINUSE measured on Zen 4, PKRU on Zen 3): FOP, FIP and FDP only while an x87 exception is pending; XINUSE[i] follows
 *     the registers; XSAVE stores the four bytes of PKRU and leaves the component's other four
 *     unchanged. The latter was not measured for XSAVEOPT and XSAVEC with a non-zero PKRU; they are
 *     assumed to do the same.
 *   QEMU's emulator (do_xsave in target/i386/tcg/fpu_helper.c, 7.2): everything but BNDREGS counts as in use; MXCSR belongs
 *     to SSE alone; ten bytes of each x87 register, FIP and FDP as 0, no FOP; eight bytes of PKRU; the two registers of BNDCSR,
 *     not its 48 reserved bytes.
 */
import { findLeaf, PKRU_BIT, type CpuidLeaf } from './xstate-layout.js';

/**
 * How a processor tracks that a component is in use: by its registers; by what XRSTOR loaded; or
 * always. `loaded` needs a state that such a processor saved.
 */
export type InUse = 'content' | 'loaded' | 'always';

export interface XsaveTraits {
  /** FOP, FIP and FDP are stored as 0 unless an x87 exception is pending (FSW.ES), and count as 0. */
  readonly pointersOnlyOnError: boolean;
  readonly inUse: InUse;
  /** XSAVE, XSAVEOPT and XRSTOR of a standard area treat MXCSR when AVX is requested without SSE, too. */
  readonly mxcsrWithAvx: boolean;
  /** FOP, and the six bytes after each x87 register, are stored; else memory keeps its bytes. */
  readonly storesX87Gaps: boolean;
  /** Number of bytes stored of components, by bit, if not all: memory keeps the other bytes. */
  readonly storedBytes: Readonly<Record<number, number>>;
}

const BNDCSR_BIT = 4;
/** Of CPUID leaf 0x40000000: "TCGTCGTCGTCG". */
const HYPERVISOR_LEAF = 0x4000_0000;
const TCG = 0x5447_4354;
/** EBX of leaf 0: "Auth", "Hygo". */
const AMD_VENDORS: readonly number[] = [0x6874_7541, 0x6f67_7948];

export const INTEL: XsaveTraits = {
  pointersOnlyOnError: false,
  inUse: 'content',
  mxcsrWithAvx: true,
  storesX87Gaps: true,
  storedBytes: {},
};
export const AMD: XsaveTraits = { ...INTEL, pointersOnlyOnError: true, storedBytes: { [PKRU_BIT]: 4 } };
export const EMULATOR: XsaveTraits = {
  pointersOnlyOnError: false,
  inUse: 'always',
  mxcsrWithAvx: false,
  storesX87Gaps: false,
  storedBytes: { [BNDCSR_BIT]: 16 },
};

/** The traits of the processor with these CPUID results, or of the emulator with this CPU model. */
export function xsaveTraits(records: readonly CpuidLeaf[]): XsaveTraits {
  if ((findLeaf(records, HYPERVISOR_LEAF, 0)?.ebx ?? 0) >>> 0 === TCG) return EMULATOR;
  return isAmd(records) ? AMD : INTEL;
}

/** AMD's or Hygon's. */
export const isAmd = (records: readonly CpuidLeaf[]): boolean =>
  AMD_VENDORS.includes((findLeaf(records, 0, 0)?.ebx ?? 0) >>> 0);
