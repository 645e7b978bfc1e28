/**
 * XSAVE, XSAVEOPT and XSAVEC in software, for processors that lack the instruction or place components elsewhere
 * than the recording's did (Intel SDM vol. 1, 13.5, 13.7, 13.9, 13.10; compared with a real processor in the spec).
 *
 * The state is a standard-form image that XSAVE64 made in the hardware's layout. The result is the list of byte
 * ranges that the instruction writes: it leaves all other bytes of the area alone, and programs can see that.
 */

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
import { AVX, COMPACTED, compactedLayout, findComponent, HEADER_OFFSET, SSE, X87 } from './xstate-layout.js';

export interface AreaChunk {
  /** From the base of the XSAVE area. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface SaveRules {
  /** REX.W, default true: 64-bit FIP and FDP. Without it, 32 bits and selectors, which are saved as 0. */
  readonly wide?: boolean;
  /** MXCSR_MASK of the recording's processor; default: the state's. */
  readonly mxcsrMask?: number;
  /** AMD: FOP, FIP and FDP are saved as 0 unless an x87 exception is pending (FSW.ES). Default false. */
  readonly pointersOnlyOnError?: boolean;
}

/**
 * What XSAVEC writes.
 * @param state standard form, layout `hardware`
 * @param recorded the layout (and XCR0) that the program believes in
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
  let saved = requested & xinuse(state, hardware, rules.pointersOnlyOnError);
  if (requested & SSE && readU32(state, MXCSR) !== MXCSR_INIT) saved |= SSE;
  const chunks = legacyChunks(state, saved, (saved & SSE) !== 0n, rules);
  const header = new Uint8Array(16);
  writeU64(header, 0, saved);
  writeU64(header, 8, requested | COMPACTED);
  chunks.push({ offset: HEADER_OFFSET, bytes: header });
  return appendExtended(chunks, state, hardware, compactedLayout(recorded, requested), saved);
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
  const saved = requested & xinuse(state, hardware, rules.pointersOnlyOnError);
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
  const chunks = legacyChunks(state, saved, (requested & (SSE | AVX)) !== 0n, rules);
  const header = new Uint8Array(8);
  writeU64(
    header,
    0,
    (oldXstateBv & ~requested) | (requested & xinuse(state, hardware, rules.pointersOnlyOnError)),
  );
  chunks.push({ offset: HEADER_OFFSET, bytes: header });
  return appendExtended(chunks, state, hardware, recorded, saved);
}

/** The parts of the legacy region: x87 and XMM if in `saved`, MXCSR and its mask if `withMxcsr`. */
function legacyChunks(state: XstateImage, saved: bigint, withMxcsr: boolean, rules: SaveRules): AreaChunk[] {
  const chunks: AreaChunk[] = [];
  if (saved & X87) chunks.push({ offset: 0, bytes: x87Control(state, rules) });
  if (withMxcsr) {
    const bytes = state.slice(MXCSR, ST0);
    if (rules.mxcsrMask !== undefined) writeU32(bytes, MXCSR_MASK - MXCSR, rules.mxcsrMask);
    chunks.push({ offset: MXCSR, bytes });
  }
  if (saved & X87) chunks.push({ offset: ST0, bytes: present(state, X87, ST0, XMM0) });
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
): AreaChunk[] {
  for (const { bit, offset, size } of area.components) {
    const component = 1n << BigInt(bit);
    if (!(saved & component)) continue;
    const source = findComponent(hardware, bit);
    // A component that the hardware lacks, or knows in another size, is in its initial state.
    const bytes =
      source?.size === size
        ? present(state, component, source.offset, source.offset + size)
        : new Uint8Array(size);
    chunks.push({ offset, bytes });
  }
  return chunks;
}
