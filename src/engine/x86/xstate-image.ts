/**
 * Extended state as bytes: a standard-form XSAVE64 image, as frames of a trace hold it and as the ring-0 stub saves
 * and loads it (Intel SDM vol. 1, 13.4 and 13.6). A component whose XSTATE_BV bit is clear is in its initial
 * state, whatever bytes are stored; all readers here respect this.
 */

import { RevenantError } from '../base/errors.js';
import type { XsaveTraits } from './xsave-traits.js';
import type { XstateLayout } from './xstate-layout.js';
import {
  AVX,
  componentName,
  findComponent,
  HEADER_OFFSET,
  LEGACY_SIZE,
  PKRU,
  PKRU_BIT,
  significantBytes,
  SSE,
  X87,
} from './xstate-layout.js';

export type XstateImage = Uint8Array;

export const FCW_INIT = 0x37f;
export const MXCSR_INIT = 0x1f80;
/** What Linux loads into PKRU at exec and for a signal handler (all keys but 0 access-disabled). */
export const PKRU_LINUX = 0x5555_5554;

/** FSW: an unmasked x87 exception is pending. */
export const FSW_ES = 0x80;

/** Offsets in the legacy region. */
export const FOP = 6;
export const FIP = 8;
export const FDP = 16;
export const MXCSR = 24;
export const MXCSR_MASK = 28;
export const ST0 = 32;
export const XMM0 = 160;
export const XMM_END = 416;

const viewOf = (image: XstateImage): DataView =>
  new DataView(image.buffer, image.byteOffset, image.byteLength);

/** Reads a little-endian u64 at a byte offset of the image. */
export const readU64 = (image: XstateImage, offset: number): bigint =>
  viewOf(image).getBigUint64(offset, true);
export const writeU64 = (image: XstateImage, offset: number, value: bigint): void =>
  viewOf(image).setBigUint64(offset, value, true);
export const readU32 = (image: XstateImage, offset: number): number => viewOf(image).getUint32(offset, true);
export const writeU32 = (image: XstateImage, offset: number, value: number): void =>
  viewOf(image).setUint32(offset, value, true);

/** XSTATE_BV. An image without header (512 bytes, FXSAVE) has x87 and SSE. */
export const xstateBv = (image: XstateImage): bigint =>
  image.length >= HEADER_OFFSET + 8 ? readU64(image, HEADER_OFFSET) : X87 | SSE;

/**
 * All components in their initial state, as a signal handler finds it: FCW 0x37f, MXCSR 0x1f80, the rest zero; PKRU,
 * where `layout` has it, as Linux initialises it. Byte for byte what rr synthesises in signalHandler frames.
 */
export function resetImage(layout: XstateLayout, pkru = PKRU_LINUX): XstateImage {
  const image = new Uint8Array(layout.size);
  const view = viewOf(image);
  view.setUint16(0, FCW_INIT, true);
  view.setUint32(MXCSR, MXCSR_INIT, true);
  if (layout.size === LEGACY_SIZE) return image;
  let present = X87;
  const component = findComponent(layout, PKRU_BIT);
  if (component) {
    view.setUint32(component.offset, pkru, true);
    present |= PKRU;
  }
  view.setBigUint64(HEADER_OFFSET, present, true);
  return image;
}

/** The state after execve: that of `resetImage`, XSTATE_BV clear except for PKRU. */
export function execImage(layout: XstateLayout): XstateImage {
  const image = resetImage(layout);
  if (layout.size > LEGACY_SIZE) writeU64(image, HEADER_OFFSET, readU64(image, HEADER_OFFSET) & ~X87);
  return image;
}

/**
 * MXCSR of a recorded image, which the kernel made: stored with SSE or AVX state, else initial. An image that XSAVE
 * made holds the register's value at `MXCSR` whatever XSTATE_BV says: see `markMxcsr`.
 */
export function recordedMxcsr(image: XstateImage): number {
  return (xstateBv(image) & (SSE | AVX)) !== 0n ? readU32(image, MXCSR) : MXCSR_INIT;
}

/**
 * Sets XSTATE_BV[1] in place when MXCSR is not initial. XSAVE leaves the bit clear while the XMM registers are zero,
 * and then neither the kernel's rules nor a compacted XRSTOR would take MXCSR from the image.
 */
export function markMxcsr(image: XstateImage): void {
  if (image.length > LEGACY_SIZE && readU32(image, MXCSR) !== MXCSR_INIT) {
    writeU64(image, HEADER_OFFSET, xstateBv(image) | SSE);
  }
}

function copyLegacy(from: XstateImage, present: bigint, into: XstateImage): void {
  if (present & X87) {
    into.set(from.subarray(0, MXCSR), 0);
    into.set(from.subarray(ST0, XMM0), ST0);
  } else {
    viewOf(into).setUint16(0, FCW_INIT, true);
  }
  if (present & SSE) into.set(from.subarray(XMM0, XMM_END), XMM0);
  into.set(from.subarray(MXCSR_MASK, ST0), MXCSR_MASK);
}

/**
 * Puts x87 and SSE state into a standard-form image, in place, as PTRACE_SETFPREGS does.
 * @param legacy a 512-byte FXSAVE image
 */
export function setLegacyState(image: XstateImage, legacy: Uint8Array): void {
  image.set(legacy.subarray(0, MXCSR_MASK), 0);
  image.set(legacy.subarray(ST0, XMM_END), ST0);
  if (image.length > LEGACY_SIZE) writeU64(image, HEADER_OFFSET, xstateBv(image) | X87 | SSE);
}

/**
 * The same state in another layout, with a new header and initial values stored for absent components, so that
 * the result loads with RFBM = all ones. A set bit that `to` lacks is refused, PKRU excepted: it is dropped. PKRU
 * that `from` lacks starts as Linux's, so that keys permit what they permitted at exec.
 * @throws RevenantError
 * E_MACHINE_CANNOT for a component that `to` lacks or holds in another size,
 *   E_TRACE_CORRUPT for an image that is not `from.size` bytes, is compacted or has bits outside `from.xcr0`.
 */
export function convertImage(image: XstateImage, from: XstateLayout, to: XstateLayout): XstateImage {
  checkImage(image, from);
  const result = new Uint8Array(to.size);
  let present = xstateBv(image);
  copyLegacy(image, present, result);
  writeU32(result, MXCSR, recordedMxcsr(image));
  for (const component of from.components) {
    if (!((present >> BigInt(component.bit)) & 1n)) continue;
    const target = findComponent(to, component.bit);
    if (target?.size === component.size) {
      result.set(image.subarray(component.offset, component.offset + component.size), target.offset);
    } else if (component.bit === PKRU_BIT) {
      present &= ~PKRU;
    } else {
      throw new RevenantError(
        'E_MACHINE_CANNOT',
        `The recorded program has ${componentName(component.bit)} state (${component.size} bytes), which ` +
          `${target ? `is ${target.size} bytes` : 'does not exist'} on this machine.`,
      );
    }
  }
  if (to.size === LEGACY_SIZE) return result;
  const pkru = findComponent(to, PKRU_BIT);
  if (pkru && !(from.xcr0 & PKRU)) {
    writeU32(result, pkru.offset, PKRU_LINUX);
    present |= PKRU;
  }
  writeU64(result, HEADER_OFFSET, present);
  markMxcsr(result);
  return result;
}

/** @throws RevenantError E_TRACE_CORRUPT unless the image is one of standard form in `layout`. */
export function checkImage(image: XstateImage, layout: XstateLayout): void {
  const wrong = (what: string): never => {
    throw new RevenantError('E_TRACE_CORRUPT', `An extended register image ${what}.`);
  };
  if (image.length !== layout.size) wrong(`has ${image.length} bytes; CPUID says ${layout.size}`);
  if (image.length === LEGACY_SIZE) return;
  const unknown = xstateBv(image) & ~layout.xcr0;
  if (unknown)
    wrong(`has XSTATE_BV bits 0x${unknown.toString(16)} outside XCR0 0x${layout.xcr0.toString(16)}`);
  if (readU64(image, HEADER_OFFSET + 8)) wrong('is compacted');
}

function isZero(image: XstateImage, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (image[i] !== 0) return false;
  return true;
}

/** FCW 0x37f, everything else of x87 zero: what FNINIT and an initialising XRSTOR leave. */
function isX87Initial(image: XstateImage, pointersOnlyOnError: boolean): boolean {
  if (image[0] !== (FCW_INIT & 0xff) || image[1] !== FCW_INIT >> 8) return false;
  const noPointers = pointersOnlyOnError && (image[2] & FSW_ES) === 0;
  return isZero(image, 2, noPointers ? FOP : MXCSR) && isZero(image, ST0, XMM0);
}

/** How XINUSE is determined; default: by content, as on Intel. */
export type InUseRules = Partial<Pick<XsaveTraits, 'pointersOnlyOnError' | 'inUse'>>;

/** Components whose XSTATE_BV bit does not show whether they are in use, even on Intel. */
const ALWAYS_BY_CONTENT: readonly number[] = [3, 17]; // BNDREGS (in the emulator), XTILECFG

/**
 * XINUSE (SDM vol. 1, 13.6) of a state that XSAVE saved. By content: components present that are not in their initial state,
 * which AMD's processors track exactly (measured on Zen 4). Intel's keep what XRSTOR loaded, and clear a bit for
 * VZEROUPPER, VZEROALL and TILERELEASE only. MXCSR does not count: see `xgetbv1`.
 */
export function xinuse(image: XstateImage, layout: XstateLayout, rules: InUseRules = {}): bigint {
  const { inUse = 'content', pointersOnlyOnError = false } = rules;
  const present = xstateBv(image) & layout.xcr0;
  const believed = inUse === 'always' ? layout.xcr0 : inUse === 'loaded' ? present : 0n;
  let result = believed;
  if (present & X87 && !isX87Initial(image, pointersOnlyOnError)) result |= X87;
  if (present & SSE && !isZero(image, XMM0, XMM_END)) result |= SSE;
  for (const component of layout.components) {
    const { bit, offset } = component;
    const mask = 1n << BigInt(bit);
    if (ALWAYS_BY_CONTENT.includes(bit)) result &= ~mask;
    if (present & mask && !isZero(image, offset, offset + significantBytes(component))) result |= mask;
  }
  return result;
}

/**
 * What XGETBV with ECX = 1 returns for a state that XSAVE saved: XINUSE, and SSE also when only MXCSR differs from
 * 0x1f80.
 */
export function xgetbv1(image: XstateImage, layout: XstateLayout, rules: InUseRules = {}): bigint {
  const mxcsr = readU32(image, MXCSR) !== MXCSR_INIT ? SSE : 0n;
  return (xinuse(image, layout, rules) | mxcsr) & layout.xcr0;
}

const read128 = (image: XstateImage, offset: number): bigint =>
  (readU64(image, offset + 8) << 64n) | readU64(image, offset);

/** XMM `index` (0..15) as an unsigned 128-bit value. */
export const readXmm = (image: XstateImage, index: number): bigint =>
  xstateBv(image) & SSE ? read128(image, XMM0 + 16 * index) : 0n;

/** YMM `index` (0..15) as an unsigned 256-bit value; the upper half is 0 without AVX. */
export function readYmm(image: XstateImage, layout: XstateLayout, index: number): bigint {
  const upper = xstateBv(image) & 4n ? findComponent(layout, 2) : undefined;
  return ((upper ? read128(image, upper.offset + 16 * index) : 0n) << 128n) | readXmm(image, index);
}

/** PKRU, 0 (the hardware's initial value) when its bit is clear, undefined when the layout has none. */
export function readPkru(image: XstateImage, layout: XstateLayout): number | undefined {
  const component = findComponent(layout, PKRU_BIT);
  if (!component) return undefined;
  return xstateBv(image) & PKRU ? readU32(image, component.offset) : 0;
}

/** Sets PKRU. Precondition: the layout has it. */
export function writePkru(image: XstateImage, layout: XstateLayout, value: number): void {
  const component = findComponent(layout, PKRU_BIT);
  if (!component) return;
  writeU32(image, component.offset, value);
  writeU64(image, HEADER_OFFSET, xstateBv(image) | PKRU);
}

/** x87 instruction and data pointers, 64 bits each. */
export const readFip = (image: XstateImage): bigint => (xstateBv(image) & X87 ? readU64(image, FIP) : 0n);
export const readFdp = (image: XstateImage): bigint => (xstateBv(image) & X87 ? readU64(image, FDP) : 0n);

/** Zeroes the x87 instruction and data pointers in place (traces with `clearFipFdp`). */
export function clearFipFdp(image: XstateImage): void {
  image.fill(0, FIP, FDP + 8);
}
