/**
 * XSAVE, XSAVEOPT and XSAVEC in software, for processors that lack the instruction or use other
 * component offsets than the recording's (Intel SDM vol. 1, 13.5, 13.7, 13.9, 13.10; compared with
 * a real processor in the spec).
 *
 * The state is a standard-form image that XSAVE64 made in the hardware's layout. The result is the list of byte
 * ranges that the instruction writes: all other bytes of the area are unchanged, which is visible to programs.
 */

import type { XsaveTraits } from './xsave-traits.js';
import type { XstateImage } from './xstate-image.js';
import {
  FCW_INIT,
  FDP,
  FIP,
  FOP,
  FSW_ES,
  MXCSR,
  MXCSR_INIT,
  MXCSR_MASK,
  readU32,
  ST0,
  writeU32,
  writeU64,
  xinuse,
  XMM0,
  XMM_END,
  xstateBv,
} from './xstate-image.js';
import type { XstateLayout } from './xstate-layout.js';
import {
  AVX,
  COMPACTED,
  compactedLayout,
  findComponent,
  HEADER_OFFSET,
  significantBytes,
  SSE,
  X87,
} from './xstate-layout.js';

/** An x87 register, and its place in the legacy region. */
const ST_SIZE = 10;
const ST_SLOT = 16;

export interface AreaChunk {
  /** From the base of the XSAVE area. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The processor's traits, default Intel's, and the rest. */
export interface SaveRules extends Partial<XsaveTraits> {
  /** REX.W, default true: 64-bit FIP and FDP. Without it, 32 bits and selectors, which are saved as 0. */
  readonly wide?: boolean;
  /** MXCSR_MASK of the recording's processor; default: the state's. */
  readonly mxcsrMask?: number;
}

/**
 * What XSAVEC writes.
 * @param state standard form, layout `hardware`
 * @param recorded the program's layout (and XCR0)
 * @param mask EDX:EAX
 */
export function composeXsavec(
  state: XstateImage,
  hardware: XstateLayout,
  recorded: XstateLayout,
  mask: bigint,
  rules: SaveRules = {},
): AreaChunk[] {
  const requested = mask & recorded.xcr0;
  let saved = requested & xinuse(state, hardware, rules);
  if (requested & SSE && readU32(state, MXCSR) !== MXCSR_INIT) saved |= SSE;
  const chunks = legacyChunks(state, saved, (saved & SSE) !== 0n, rules);
  const header = new Uint8Array(16);
  writeU64(header, 0, saved);
  writeU64(header, 8, requested | COMPACTED);
  chunks.push({ offset: HEADER_OFFSET, bytes: header });
  return appendExtended(chunks, state, hardware, compactedLayout(recorded, requested), saved, rules);
}

/**
 * What XSAVE writes: every component requested, initial values too.
 * @param oldXstateBv the first eight bytes of the header before: bits that are not requested stay
 */
export function composeXsave(
  state: XstateImage,
  hardware: XstateLayout,
  recorded: XstateLayout,
  mask: bigint,
  oldXstateBv: bigint,
  rules: SaveRules = {},
): AreaChunk[] {
  const requested = mask & recorded.xcr0;
  return composeStandard(state, hardware, recorded, requested, requested, oldXstateBv, rules);
}

/** What XSAVEOPT writes, if it does not omit what is unmodified since XRSTOR (no program can rely on that). */
export function composeXsaveopt(
  state: XstateImage,
  hardware: XstateLayout,
  recorded: XstateLayout,
  mask: bigint,
  oldXstateBv: bigint,
  rules: SaveRules = {},
): AreaChunk[] {
  const requested = mask & recorded.xcr0;
  const saved = requested & xinuse(state, hardware, rules);
  return composeStandard(state, hardware, recorded, requested, saved, oldXstateBv, rules);
}

function composeStandard(
  state: XstateImage,
  hardware: XstateLayout,
  recorded: XstateLayout,
  requested: bigint,
  saved: bigint,
  oldXstateBv: bigint,
  rules: SaveRules,
): AreaChunk[] {
  const withMxcsr = rules.mxcsrWithAvx === false ? SSE : SSE | AVX;
  const chunks = legacyChunks(state, saved, (requested & withMxcsr) !== 0n, rules);
  const header = new Uint8Array(8);
  writeU64(header, 0, (oldXstateBv & ~requested) | (requested & xinuse(state, hardware, rules)));
  chunks.push({ offset: HEADER_OFFSET, bytes: header });
  return appendExtended(chunks, state, hardware, recorded, saved, rules);
}

/** The parts of the legacy region: x87 and XMM if in `saved`, MXCSR and its mask if `withMxcsr`. */
function legacyChunks(state: XstateImage, saved: bigint, withMxcsr: boolean, rules: SaveRules): AreaChunk[] {
  const chunks: AreaChunk[] = [];
  const gaps = rules.storesX87Gaps !== false;
  if (saved & X87) {
    const bytes = x87Control(state, rules);
    if (gaps) chunks.push({ offset: 0, bytes });
    else
      chunks.push({ offset: 0, bytes: bytes.subarray(0, FOP) }, { offset: FIP, bytes: bytes.subarray(FIP) });
  }
  if (withMxcsr) {
    const bytes = state.slice(MXCSR, ST0);
    if (rules.mxcsrMask !== undefined) writeU32(bytes, MXCSR_MASK - MXCSR, rules.mxcsrMask);
    chunks.push({ offset: MXCSR, bytes });
  }
  if (saved & X87) {
    const bytes = present(state, X87, ST0, XMM0);
    const step = gaps ? bytes.length : ST_SLOT;
    const stored = gaps ? bytes.length : ST_SIZE;
    for (let at = 0; at < bytes.length; at += step) {
      chunks.push({ offset: ST0 + at, bytes: bytes.subarray(at, at + stored) });
    }
  }
  if (saved & SSE) chunks.push({ offset: XMM0, bytes: present(state, SSE, XMM0, XMM_END) });
  return chunks;
}

function x87Control(state: XstateImage, rules: SaveRules): Uint8Array {
  const bytes = present(state, X87, 0, MXCSR);
  if (!(xstateBv(state) & X87)) {
    bytes[0] = FCW_INIT & 0xff;
    bytes[1] = FCW_INIT >> 8;
  }
  if (rules.pointersOnlyOnError && !(bytes[2] & FSW_ES)) bytes.fill(0, FOP);
  if (rules.wide === false) {
    bytes.fill(0, FIP + 4, FDP);
    bytes.fill(0, FDP + 4);
  }
  return bytes;
}

/** Bytes [start, end) of the state, zeros when the component's bit is clear. */
function present(state: XstateImage, component: bigint, start: number, end: number): Uint8Array {
  return xstateBv(state) & component ? state.slice(start, end) : new Uint8Array(end - start);
}

function appendExtended(
  chunks: AreaChunk[],
  state: XstateImage,
  hardware: XstateLayout,
  area: XstateLayout,
  saved: bigint,
  { storedBytes = {} }: SaveRules,
): AreaChunk[] {
  for (const { bit, offset, size } of area.components) {
    const mask = 1n << BigInt(bit);
    if (!(saved & mask)) continue;
    const bytes = new Uint8Array(size);
    const source = findComponent(hardware, bit);
    // A component that the hardware lacks, or has with another size, is in its initial state.
    if (source?.size === size) {
      bytes.set(present(state, mask, source.offset, source.offset + significantBytes(source)));
    }
    chunks.push({ offset, bytes: bytes.subarray(0, storedBytes[bit] ?? size) });
  }
  return chunks;
}
