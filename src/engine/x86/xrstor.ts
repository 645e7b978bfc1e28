/**
 * XRSTOR in software, of compacted areas on processors without XSAVEC and of areas in a layout that is not the
 * hardware's (Intel SDM vol. 1, 13.8; compared with a real processor in the spec).
 */

import type { XstateImage } from './xstate-image.js';
import {
  FCW_INIT,
  FDP,
  FIP,
  MXCSR,
  MXCSR_INIT,
  MXCSR_MASK,
  readU32,
  readU64,
  ST0,
  writeU32,
  writeU64,
  XMM0,
  XMM_END,
  xstateBv,
} from './xstate-image.js';
import type { XstateLayout } from './xstate-layout.js';
import {
  AVX,
  COMPACTED,
  compactedLayout,
  EXTENDED_OFFSET,
  findComponent,
  HEADER_OFFSET,
  significantBytes,
  SSE,
  X87,
} from './xstate-layout.js';

export interface RestoreRules {
  /** REX.W, default true: 64-bit FIP and FDP. Without it, 32 bits; selectors are dropped. */
  readonly wide?: boolean;
  /** Bits of MXCSR that may be set; default: MXCSR_MASK of the state, or 0xffbf if that is 0. */
  readonly mxcsrMask?: number;
  /** Default true: see XsaveTraits. */
  readonly mxcsrWithAvx?: boolean;
  /** Whether the recording's processor had XSAVEC; without it every compacted area is a #GP. Default true. */
  readonly hasXsavec?: boolean;
}

const DEFAULT_MXCSR_MASK = 0xffbf;

/**
 * Why XRSTOR raises #GP for this area (misalignment apart), or null.
 * @param area at least the legacy region and the header, 576 bytes
 * @param layout the program's layout
 * @param mask EDX:EAX
 * @param mxcsrMask bits of MXCSR that may be set
 */
export function xrstorFault(
  area: Uint8Array,
  layout: XstateLayout,
  mask: bigint,
  mxcsrMask: number,
  hasXsavec = true,
): string | null {
  const [stored, compaction] = [readU64(area, HEADER_OFFSET), readU64(area, HEADER_OFFSET + 8)];
  const requested = mask & layout.xcr0;
  let loadsMxcsr = (requested & (SSE | AVX)) !== 0n;
  if (compaction & COMPACTED) {
    if (!hasXsavec) return 'compacted areas do not exist without XSAVEC';
    if (compaction & ~COMPACTED & ~layout.xcr0) return 'XCOMP_BV has bits outside XCR0';
    if (stored & ~(compaction & ~COMPACTED)) return 'XSTATE_BV has bits outside XCOMP_BV';
    if (hasBytes(area, HEADER_OFFSET + 16, EXTENDED_OFFSET)) return 'the header has bytes set in 63:16';
    loadsMxcsr = (requested & stored & SSE) !== 0n;
  } else {
    if (stored & ~layout.xcr0) return 'XSTATE_BV has bits outside XCR0';
    if (hasBytes(area, HEADER_OFFSET + 8, HEADER_OFFSET + 24)) return 'the header has bytes set in 23:8';
  }
  return loadsMxcsr && readU32(area, MXCSR) & ~mxcsrMask ? 'MXCSR has reserved bits set' : null;
}

function hasBytes(area: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (area[i] !== 0) return true;
  return false;
}

/** The layout of this area, given its header: compacted or standard. Precondition: no `xrstorFault`. */
function areaLayout(area: Uint8Array, layout: XstateLayout): XstateLayout {
  const compaction = readU64(area, HEADER_OFFSET + 8);
  return compaction & COMPACTED ? compactedLayout(layout, compaction & ~COMPACTED) : layout;
}

/**
 * The state that XRSTOR leaves, as a standard-form image in the hardware's layout that loads with all bits requested.
 * @param area as much of the area as is readable; only the program's components are read
 * @param state before, standard form, layout `hardware`
 * @param recorded the program's layout (and XCR0)
 * @param mask EDX:EAX
 * @returns null for #GP, or when `area` ends before a component that is loaded
 */
export function loadXrstor(
  area: Uint8Array,
  state: XstateImage,
  hardware: XstateLayout,
  recorded: XstateLayout,
  mask: bigint,
  rules: RestoreRules = {},
): XstateImage | null {
  if (area.length < EXTENDED_OFFSET) return null;
  const mxcsrMask = rules.mxcsrMask ?? (readU32(state, MXCSR_MASK) || DEFAULT_MXCSR_MASK);
  if (xrstorFault(area, recorded, mask, mxcsrMask, rules.hasXsavec)) return null;
  const compacted = (readU64(area, HEADER_OFFSET + 8) & COMPACTED) !== 0n;
  const requested = mask & recorded.xcr0;
  const loaded = requested & readU64(area, HEADER_OFFSET);
  const result = state.slice();
  restoreLegacy(result, area, requested, loaded, rules);
  const withMxcsr = compacted || rules.mxcsrWithAvx === false ? SSE : SSE | AVX;
  if (requested & withMxcsr) {
    writeU32(result, MXCSR, compacted && !(loaded & SSE) ? MXCSR_INIT : readU32(area, MXCSR));
  }
  if (!restoreExtended(result, hardware, area, areaLayout(area, recorded), requested, loaded)) return null;
  writeU64(result, HEADER_OFFSET, ((xstateBv(state) & ~requested) | loaded) & hardware.xcr0);
  result.fill(0, HEADER_OFFSET + 8, EXTENDED_OFFSET);
  return result;
}

function restoreLegacy(
  result: XstateImage,
  area: Uint8Array,
  requested: bigint,
  loaded: bigint,
  rules: RestoreRules,
): void {
  if (requested & X87) {
    result.fill(0, 0, MXCSR);
    result.fill(0, ST0, XMM0);
    if (loaded & X87) {
      result.set(area.subarray(0, MXCSR), 0);
      result.set(area.subarray(ST0, XMM0), ST0);
      if (rules.wide === false) {
        result.fill(0, FIP + 4, FDP);
        result.fill(0, FDP + 4, MXCSR);
      }
    } else {
      result[0] = FCW_INIT & 0xff;
      result[1] = FCW_INIT >> 8;
    }
  }
  if (!(requested & SSE)) return;
  if (loaded & SSE) result.set(area.subarray(XMM0, XMM_END), XMM0);
  else result.fill(0, XMM0, XMM_END);
}

/** Copies or zeroes each component requested; false if the area ends too early. */
function restoreExtended(
  result: XstateImage,
  hardware: XstateLayout,
  area: Uint8Array,
  from: XstateLayout,
  requested: bigint,
  loaded: bigint,
): boolean {
  for (const { bit, offset, size } of hardware.components) {
    const component = 1n << BigInt(bit);
    if (!(requested & component)) continue;
    const source = loaded & component ? findComponent(from, bit) : undefined;
    if (source && source.offset + source.size > area.length) return false;
    result.fill(0, offset, offset + size);
    if (source?.size !== size) continue;
    result.set(area.subarray(source.offset, source.offset + significantBytes(source)), offset);
  }
  return true;
}
