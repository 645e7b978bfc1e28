/**
 * The frame of a signal handler on the user's stack, as arch/x86/kernel/signal_64.c lays it out:
 *
 *   rsp ▶ pretcode (8)   the restorer, where the handler returns to
 *         ucontext (304) flags, link, stack, sigcontext (256), mask
 *         siginfo (128)
 *         … 64-byte boundary: XSAVE area in the program's own layout, with FP_XSTATE_MAGIC2 behind it
 *         red zone (128)
 */
import { Reg, getRegister, setRegister, type RegisterWords } from '../../engine/base/registers.js';
import { HEADER_OFFSET, LEGACY_SIZE, type XstateLayout } from '../../engine/x86/xstate-layout.js';

const RED_ZONE = 128;
const MAGIC1 = 0x4650_5853;
const MAGIC2 = 0x4650_5845;
/** Offset of struct _fpx_sw_bytes in the legacy region. */
const SW_RESERVED = 464;
const MAGIC2_BYTES = 4;

export const Frame = {
  ucontext: 8,
  sigcontext: 48,
  mask: 304,
  siginfo: 312,
  size: 440,
} as const;

/** uc_flags. */
const UC_FP_XSTATE = 1;
const UC_SIGCONTEXT_SS = 2;
const UC_STRICT_RESTORE_SS = 4;

/** Registers in the order of struct sigcontext_64. */
const ORDER = [
  Reg.r8,
  Reg.r9,
  Reg.r10,
  Reg.r11,
  Reg.r12,
  Reg.r13,
  Reg.r14,
  Reg.r15,
  Reg.rdi,
  Reg.rsi,
  Reg.rbp,
  Reg.rbx,
  Reg.rdx,
  Reg.rax,
  Reg.rcx,
  Reg.rsp,
  Reg.rip,
  Reg.eflags,
] as const;
const Context = {
  cs: 144,
  ss: 150,
  error: 152,
  trap: 160,
  oldMask: 168,
  cr2: 176,
  fpstate: 184,
  size: 256,
} as const;

/** Flags that sigreturn takes from the frame (FIX_EFLAGS). */
const RESTORED_FLAGS = 0x50dd5n;

export interface FramePlace {
  /** rsp at handler entry. */
  readonly frame: number;
  /** Address of the XSAVE area. */
  readonly xstate: number;
  /** Bytes of it, with its end mark. */
  readonly xstateBytes: number;
}

/** Bytes of the XSAVE area in a frame; the end mark only where there is a header. */
export const frameXstateBytes = (layout: XstateLayout): number =>
  layout.size > LEGACY_SIZE ? layout.size + MAGIC2_BYTES : layout.size;

/**
 * The address of the frame.
 * @param stackPointer the interrupted rsp, or the end of the alternate stack
 * @param alternate the latter, which has no red zone
 */
export function placeFrame(stackPointer: number, alternate: boolean, layout: XstateLayout): FramePlace {
  const xstateBytes = frameXstateBytes(layout);
  const top = stackPointer - (alternate ? 0 : RED_ZONE);
  const xstate = Math.floor((top - xstateBytes) / 64) * 64;
  const frame = Math.floor((xstate - Frame.size) / 16) * 16 - 8;
  return { frame, xstate, xstateBytes };
}

export interface FrameContent {
  readonly registers: RegisterWords;
  readonly mask: bigint;
  readonly siginfo: Uint8Array;
  readonly restorer: bigint;
  readonly altStack: { readonly pointer: number; readonly size: number; readonly flags: number };
  readonly trap: number;
  readonly errorCode: number;
  readonly cr2: bigint;
}

/** The frame's bytes without the XSAVE area. */
export function composeFrame(content: FrameContent, place: FramePlace, layout: XstateLayout): Uint8Array {
  const bytes = new Uint8Array(Frame.size);
  const view = new DataView(bytes.buffer);
  const flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (layout.size > LEGACY_SIZE ? UC_FP_XSTATE : 0);
  view.setBigUint64(0, content.restorer, true);
  view.setBigUint64(8, BigInt(flags), true);
  view.setBigUint64(24, BigInt(content.altStack.pointer), true);
  view.setUint32(32, content.altStack.flags, true);
  view.setBigUint64(40, BigInt(content.altStack.size), true);
  ORDER.forEach((slot, index) =>
    view.setBigUint64(Frame.sigcontext + 8 * index, getRegister(content.registers, slot), true),
  );
  const at = (offset: number): number => Frame.sigcontext + offset;
  view.setUint16(at(Context.cs), content.registers[2 * Reg.cs], true);
  view.setUint16(at(Context.ss), content.registers[2 * Reg.ss], true);
  view.setBigUint64(at(Context.error), BigInt(content.errorCode), true);
  view.setBigUint64(at(Context.trap), BigInt(content.trap), true);
  view.setBigUint64(at(Context.oldMask), content.mask, true);
  view.setBigUint64(at(Context.cr2), content.cr2, true);
  view.setBigUint64(at(Context.fpstate), BigInt(place.xstate), true);
  view.setBigUint64(Frame.mask, content.mask, true);
  bytes.set(content.siginfo, Frame.siginfo);
  return bytes;
}

/** The XSAVE area of a frame from an image in the program's layout, with the magic numbers for sigreturn. */
export function composeXstate(image: Uint8Array, layout: XstateLayout): Uint8Array {
  const bytes = new Uint8Array(frameXstateBytes(layout));
  bytes.set(image.subarray(0, layout.size));
  if (layout.size === LEGACY_SIZE) return bytes;
  const view = new DataView(bytes.buffer);
  bytes.fill(0, SW_RESERVED, LEGACY_SIZE);
  view.setUint32(SW_RESERVED, MAGIC1, true);
  view.setUint32(SW_RESERVED + 4, bytes.length, true);
  view.setBigUint64(SW_RESERVED + 8, layout.xcr0, true);
  view.setUint32(SW_RESERVED + 16, layout.size, true);
  view.setUint32(layout.size, MAGIC2, true);
  return bytes;
}

/** What rt_sigreturn restores. */
export interface RestoredFrame {
  readonly mask: bigint;
  /** 0: initial vector state. */
  readonly fpstate: number;
  readonly altStack: Uint8Array;
}

/**
 * Reads a frame back.
 * @param bytes from the ucontext on (rsp at rt_sigreturn), Frame.size - 8 of them
 * @param registers changed in place
 */
export function restoreFrame(bytes: Uint8Array, registers: RegisterWords): RestoredFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const base = Frame.sigcontext - Frame.ucontext;
  ORDER.forEach((slot, index) => {
    const value = view.getBigUint64(base + 8 * index, true);
    if (slot !== Reg.eflags) return setRegister(registers, slot, value);
    const kept = getRegister(registers, slot) & ~RESTORED_FLAGS;
    setRegister(registers, slot, kept | (value & RESTORED_FLAGS));
  });
  setRegister(registers, Reg.orig_rax, BigInt.asUintN(64, -1n));
  return {
    mask: view.getBigUint64(Frame.mask - Frame.ucontext, true),
    fpstate: Number(view.getBigUint64(base + Context.fpstate, true)),
    altStack: bytes.slice(16, 40),
  };
}

const MXCSR = 24;
/** Bits of MXCSR that some processor has: Intel's, and AMD's misaligned exception mask. */
const MXCSR_BITS = 0x2_ffff;

/** Whether XRSTOR would load it: fpu__restore_sig leaves the bits of MXCSR as the program has set them. */
export const isLoadable = (image: Uint8Array): boolean =>
  (new DataView(image.buffer, image.byteOffset).getUint32(MXCSR, true) & ~MXCSR_BITS) === 0;

/**
 * A loadable image from the XSAVE area of a frame, which the program may have changed; in the
 * program's layout. Without valid marks only the legacy region counts (fpu__restore_sig).
 */
export function parseXstate(bytes: Uint8Array, layout: XstateLayout): Uint8Array {
  const image = bytes.slice(0, layout.size);
  if (layout.size === LEGACY_SIZE) return image;
  const view = new DataView(image.buffer);
  const marked =
    view.getUint32(SW_RESERVED, true) === MAGIC1 &&
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(layout.size, true) === MAGIC2;
  const present = marked ? view.getBigUint64(HEADER_OFFSET, true) & layout.xcr0 : 3n;
  image.fill(0, SW_RESERVED, LEGACY_SIZE);
  image.fill(0, HEADER_OFFSET, HEADER_OFFSET + 64);
  view.setBigUint64(HEADER_OFFSET, present, true);
  return image;
}
