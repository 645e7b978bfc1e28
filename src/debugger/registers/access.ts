/** The location of each of gdb's registers in a task's state: general registers and an XSAVE image. */
import { Reg, type RegisterName, type RegisterWords } from '../../engine/base/registers.js';
import {
  FCW_INIT,
  FOP,
  MXCSR_INIT,
  MXCSR,
  ST0,
  writeU64,
  XMM0,
  XMM_END,
  XMM0 as X87_END,
  xstateBv,
  type XstateImage,
} from '../../engine/x86/xstate-image.js';
import {
  findComponent,
  HEADER_OFFSET,
  LEGACY_SIZE,
  SSE,
  X87,
  type XstateLayout,
} from '../../engine/x86/xstate-layout.js';

/** The state of one task. Both parts are the holder's own copies. */
export interface RegisterState {
  readonly words: RegisterWords;
  readonly image: XstateImage;
  readonly layout: XstateLayout;
}

/** How one register is read and written; `size` in bytes. */
export interface Access {
  readonly size: number;
  read(state: RegisterState): Uint8Array;
  /** `bytes` has `size` bytes. */
  write(state: RegisterState, bytes: Uint8Array): void;
  /** Which part of the state `write` changes. */
  readonly part: 'general' | 'vector';
}

const bytesOf = (words: RegisterWords): Uint8Array =>
  new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** A general register, or its low half (eflags and selectors have 32 bits in gdb). */
export function general(name: RegisterName, size: 4 | 8 = 8): Access {
  const offset = Reg[name] * 8;
  return {
    size,
    part: 'general',
    read: ({ words }) => bytesOf(words).slice(offset, offset + size),
    write: ({ words }, bytes) => bytesOf(words).set(bytes, offset),
  };
}

/** Makes a component's bytes its state, from its initial one if it was not present. */
function makePresent({ image, layout }: RegisterState, bit: number): void {
  const mask = 1n << BigInt(bit);
  const present = xstateBv(image);
  if (present & mask) return;
  if (mask === X87) {
    image.fill(0, 0, MXCSR);
    image.fill(0, ST0, X87_END);
    image[0] = FCW_INIT & 0xff;
    image[1] = FCW_INIT >> 8;
  } else if (mask === SSE) {
    image.fill(0, XMM0, XMM_END);
  } else {
    const component = findComponent(layout, bit);
    if (component) image.fill(0, component.offset, component.offset + component.size);
  }
  if (image.length > LEGACY_SIZE) writeU64(image, HEADER_OFFSET, present | mask);
}

const isPresent = (image: XstateImage, bit: number): boolean =>
  ((xstateBv(image) >> BigInt(bit)) & 1n) !== 0n;

/** `stored` bytes at `offset` of the image, which belong to component `bit`; gdb's register may be wider. */
function field(offset: number, stored: number, bit: number, size = stored): Access {
  return {
    size,
    part: 'vector',
    read: ({ image }) => {
      const value = new Uint8Array(size);
      if (isPresent(image, bit)) value.set(image.subarray(offset, offset + stored));
      return value;
    },
    write: (state, bytes) => {
      makePresent(state, bit);
      state.image.set(bytes.subarray(0, stored), offset);
    },
  };
}

export const st = (index: number): Access => field(ST0 + 16 * index, 10, 0);
export const xmm = (index: number): Access => field(XMM0 + 16 * index, 16, 1);

/** Of an extended component; its place depends on the recording's processor. Precondition: the layout has it. */
export function extended(layout: XstateLayout, bit: number, offset: number, size: number): Access {
  return field(findComponent(layout, bit)!.offset + offset, size, bit);
}

const constant = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
};

/** The initial value although the component is absent: a control word is then not zero. */
function withInitial(access: Access, bit: number, initial: number): Access {
  return {
    ...access,
    read: (state) => (isPresent(state.image, bit) ? access.read(state) : constant(initial)),
  };
}

export const fctrl = withInitial(field(0, 2, 0, 4), 0, FCW_INIT);
export const fstat = field(2, 2, 0, 4);
export const fop = field(FOP, 2, 0, 4);
/** In 64-bit mode the x87 pointers have 64 bits and no segment: gdb's two halves of each. */
export const [fioff, fiseg, fooff, foseg] = [8, 12, 16, 20].map((offset) => field(offset, 4, 0));

/** MXCSR is handled separately: present with SSE or AVX state, at a fixed offset (see `recordedMxcsr`). */
export const mxcsr: Access = {
  size: 4,
  part: 'vector',
  read: ({ image }) =>
    isPresent(image, 1) || isPresent(image, 2) ? image.slice(MXCSR, MXCSR + 4) : constant(MXCSR_INIT),
  write: (state, bytes) => {
    makePresent(state, 1);
    state.image.set(bytes, MXCSR);
  },
};

const FTW = 4;
const Tag = { valid: 0, zero: 1, special: 2, empty: 3 } as const;

/** The tag that the processor would compute for an 80-bit value (SDM vol. 1, 8.1.7). */
function tagOf(value: Uint8Array): number {
  const view = new DataView(value.buffer, value.byteOffset, 10);
  const exponent = view.getUint16(8, true) & 0x7fff;
  const mantissa = view.getBigUint64(0, true);
  if (exponent === 0x7fff) return Tag.special;
  if (exponent === 0) return mantissa === 0n ? Tag.zero : Tag.special;
  return mantissa >> 63n ? Tag.valid : Tag.special;
}

/** The image stores one bit a physical register (in use or empty), gdb shows the two-bit tags of FSTENV. */
export const ftag: Access = {
  size: 4,
  part: 'vector',
  read: (state) => {
    const { image } = state;
    if (!isPresent(image, 0)) return constant(0xffff);
    const top = (image[3] >> 3) & 7;
    let tags = 0;
    for (let physical = 0; physical < 8; physical++) {
      const inUse = (image[FTW] >> physical) & 1;
      const tag = inUse ? tagOf(st((physical + 8 - top) % 8).read(state)) : Tag.empty;
      tags |= tag << (2 * physical);
    }
    return constant(tags);
  },
  write: (state, bytes) => {
    makePresent(state, 0);
    const tags = bytes[0] | (bytes[1] << 8);
    let inUse = 0;
    for (let physical = 0; physical < 8; physical++) {
      if (((tags >> (2 * physical)) & 3) !== Tag.empty) inUse |= 1 << physical;
    }
    state.image[FTW] = inUse;
  },
};
