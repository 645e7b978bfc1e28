/**
 * Exceptions that a machine may omit, executing the instruction instead. Observed in QEMU 7.2's
 * emulator: invalid LOCK, #GP for reserved bits of MXCSR, non-canonical bases and CLFLUSH, #XM
 * always, #MF except at FWAIT. Processors execute an instruction at a recorded SIGILL that the
 * recorded one lacked.
 */
import type * as Iced from 'iced-x86';
import { Signal, SignalCode } from '../base/linux.js';
import { iced } from './iced.js';
import { withInstruction } from './operands.js';

/**
 * What determines whether the exception is raised, besides the general registers, which are as recorded. - `registers`:
 * nothing else.
 * - `mxcsr`: the memory operand has reserved bits of MXCSR.
 * - `x87`, `simd`: an unmasked floating-point exception is pending or arises; `simd` instructions may have both.
 */
export type Unraised = 'none' | 'registers' | 'mxcsr' | 'x87' | 'simd';

/** Kinds of exceptions that a machine may omit, or raise differently, and that replays complete. */
export const LEFT_OUT = {
  int1: '#DB of INT1',
  lock: '#UD of LOCK where it is not allowed',
  hypercall: '#UD of VMCALL and VMMCALL',
  gate: 'error codes of INT n',
  clflush: 'faults of CLFLUSH and CLWB',
  fsgsbase: '#GP of bases that are not canonical',
  mxcsr: '#GP of reserved bits of MXCSR',
  x87: '#MF of x87 and MMX instructions',
  simd: '#XM',
  branch: '#GP of branches to addresses that are not canonical',
  alignment: '#AC',
  stack: '#SS of addresses that are not canonical',
  feature: '#UD of instructions that the recorded processor lacked',
  umip: '#GP of instructions under CR4.UMIP, which the kernel answers',
} as const;
export type LeftOut = keyof typeof LEFT_OUT;

/**
 * Those for which the instruction is checked before it runs. The others cost nothing otherwise: the
 * replay stops before a recorded SIGILL and SIGBUS anyway, and a branch is undone afterwards.
 */
export const WATCHED: ReadonlySet<LeftOut> = new Set(['clflush', 'fsgsbase', 'mxcsr', 'x87', 'simd']);

/**
 * How the exception at this instruction, which became a signal, may be omitted here.
 * @param leftOut the exceptions that the machine omits by the probe
 */
export function unraisedAt(
  code: Uint8Array,
  signal: number,
  signalCode: number,
  leftOut: ReadonlySet<LeftOut>,
): Unraised {
  if (signal === Signal.ILL) return 'registers';
  if (signal === Signal.SEGV) {
    // Page faults are raised, except by CLFLUSH and variants (0F AE /7, 66 0F AE /6).
    if (signalCode !== SignalCode.kernel && !code.includes(0xae)) return 'none';
    const [kind, unraised] = withInstruction(code, 0n, ({ mnemonic }) =>
      protectionAt(mnemonic, signalCode === SignalCode.kernel),
    );
    return kind !== null && leftOut.has(kind) ? unraised : 'none';
  }
  if (signal !== Signal.FPE || signalCode === SignalCode.intDiv) return 'none';
  if (isX87(code)) return leftOut.has('x87') ? 'x87' : 'none';
  if (leftOut.has('simd')) return 'simd';
  return leftOut.has('x87') && withInstruction(code, 0n, usesMmx) ? 'x87' : 'none';
}

function protectionAt(mnemonic: number, isGeneral: boolean): [LeftOut | null, Unraised] {
  const { Mnemonic } = iced();
  switch (mnemonic) {
    case Mnemonic.Clflush:
    case Mnemonic.Clflushopt:
    case Mnemonic.Clwb:
      return ['clflush', 'registers'];
    case Mnemonic.Wrfsbase:
    case Mnemonic.Wrgsbase:
      return isGeneral ? ['fsgsbase', 'registers'] : [null, 'none'];
    case Mnemonic.Ldmxcsr:
    case Mnemonic.Vldmxcsr:
    case Mnemonic.Fxrstor:
    case Mnemonic.Fxrstor64:
    case Mnemonic.Xrstor:
    case Mnemonic.Xrstor64:
      return isGeneral ? ['mxcsr', 'mxcsr'] : [null, 'none'];
    default:
      return [null, 'none'];
  }
}

/** Such instructions meet the x87's exceptions. */
export function usesMmx(instruction: Iced.Instruction): boolean {
  const { Mnemonic, Register } = iced();
  const registers = Array.from({ length: instruction.opCount }, (_, op) => instruction.opRegister(op));
  const isMmx = registers.some((register) => register >= Register.MM0 && register <= Register.MM7);
  return isMmx || instruction.mnemonic === Mnemonic.Emms;
}

/** D8 to DF and FWAIT, after prefixes. */
function isX87(code: Uint8Array): boolean {
  const opcode = code.find((byte) => !PREFIXES.has(byte)) ?? 0;
  return (opcode >= 0xd8 && opcode <= 0xdf) || opcode === 0x9b;
}

const PREFIXES: ReadonlySet<number> = new Set([
  ...[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3],
  ...Array.from({ length: 16 }, (_, rex) => 0x40 + rex),
]);

/** Exceptions of MXCSR and of the x87 words, by bit: invalid, denormal, division by zero, overflow, underflow, precision. */
export const FLOAT_FLAGS = 0x3f;
const INVALID = 1;
const DENORMAL = 2;
const UNDERFLOW = 16;
/** Pre-computation exceptions; unmasked ones prevent the others from being recorded (SDM vol. 1, 11.5.2). */
const BEFORE_COMPUTING = 7;

/**
 * The unmasked exceptions of an x87 state. For an emulator that detects neither stack faults nor
 * denormal operands they are taken from the signal.
 */
export function x87Raises(control: number, status: number, signalCode: number): boolean {
  const unmasked = ~control & FLOAT_FLAGS;
  if ((status & unmasked) !== 0) return true;
  if (signalCode === SignalCode.invalid) return (unmasked & INVALID) !== 0;
  return signalCode === SignalCode.underflow && (unmasked & DENORMAL) !== 0;
}

/**
 * MXCSR after an instruction that raised `flags` with `mxcsr`, if it raises #XM; else null.
 * Denormal operands, which the emulator does not detect, are taken from the signal.
 */
export function mxcsrOfFault(mxcsr: number, flags: number, signalCode: number): number | null {
  const unmasked = ~(mxcsr >>> 7) & FLOAT_FLAGS;
  let arisen = flags & FLOAT_FLAGS;
  if (signalCode === SignalCode.underflow && unmasked & DENORMAL && !(arisen & unmasked & UNDERFLOW))
    arisen |= DENORMAL;
  if ((arisen & unmasked) === 0) return null;
  return mxcsr | (arisen & unmasked & BEFORE_COMPUTING ? arisen & BEFORE_COMPUTING : arisen);
}
